import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

const sides = ['a', 'b'] as const;

// Two sets of tables: one answers while the other is built anew. `position_…` is the offset in the stream up to which a set has
// heard everything; it is written in the transaction of what was heard. `is_closing`: the set that answers stands still for a moment, so that
// the other one reaches it.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE read_models (
      name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      live CHAR(1) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      position_a BIGINT NOT NULL,
      position_b BIGINT NOT NULL,
      builder CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
      builder_until DATETIME(3) NULL,
      is_closing BOOLEAN NOT NULL DEFAULT 0,
      rebuilt_at DATETIME(3) NULL,
      PRIMARY KEY (name)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query("INSERT INTO read_models (name, live, position_a, position_b) VALUES ('sales', 'a', -1, -1)");
  for (const side of sides) {
    await sequelize.query(`
      CREATE TABLE sales_orders_${side} (
        order_id BIGINT UNSIGNED NOT NULL,
        day CHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        PRIMARY KEY (order_id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
    `);
    await sequelize.query(`
      CREATE TABLE sales_customers_${side} (
        account_id BIGINT UNSIGNED NOT NULL,
        currency CHAR(3) NOT NULL,
        placed BIGINT UNSIGNED NOT NULL,
        cancelled BIGINT UNSIGNED NOT NULL,
        total_cents BIGINT NOT NULL,
        PRIMARY KEY (account_id, currency)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
    `);
    await sequelize.query(`
      CREATE TABLE sales_days_${side} (
        day CHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        product_id BIGINT UNSIGNED NOT NULL,
        currency CHAR(3) NOT NULL,
        quantity BIGINT NOT NULL,
        total_cents BIGINT NOT NULL,
        PRIMARY KEY (day, product_id, currency)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
    `);
  }
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const side of sides) {
    for (const table of ['days', 'customers', 'orders']) await sequelize.query(`DROP TABLE sales_${table}_${side}`);
  }
  await sequelize.query('DROP TABLE read_models');
};
