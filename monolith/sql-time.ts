/** A moment as a DATETIME(3), in UTC. Sequelize would put a date that stands in for a placeholder there without its milliseconds. */
export const sqlTime = (time: Date | number): string => new Date(time).toISOString().replace('T', ' ').replace('Z', '');
