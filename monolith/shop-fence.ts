import { type OwnFence, ownFence } from '@strangler/platform/ownership/own-fence.ts';
import { QueryTypes, type Sequelize } from 'sequelize';

/** The fence of a slice's tables in the shop's database. */
export function shopFence(sequelize: Sequelize, slice: string): OwnFence {
  return ownFence((sql, name) => sequelize.query(sql, { type: QueryTypes.SELECT, replacements: [name] }), slice);
}
