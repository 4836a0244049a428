import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

const states = ['held', 'confirmed', 'released', 'expired', 'returned'];

export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(allowed([...states, 'surrendered']));
};

// Refused by the constraint while something is surrendered: nobody would know any more whose it is.
export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(allowed(states));
};

function allowed(some: readonly string[]): string {
  const list = some.map((state) => `'${state}'`).join(', ');
  return `ALTER TABLE reservations DROP CONSTRAINT reservations_state,
    ADD CONSTRAINT reservations_state CHECK (state IN (${list}))`;
}
