import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// One reservation an order at most. Ids are compared byte by byte: two that differ are two reservations. A line knows the
// adjustment that took its stock, which is told of the order when there is one.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE reservations (
      id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      account_id BIGINT UNSIGNED NULL,
      order_id BIGINT UNSIGNED NULL,
      expires_at DATETIME(3) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      settled_at DATETIME(3) NULL,
      PRIMARY KEY (id),
      UNIQUE KEY reservations_of_order (order_id),
      KEY reservations_due (state, expires_at),
      CONSTRAINT reservations_state CHECK (state IN ('held', 'confirmed', 'released', 'expired', 'returned'))
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE reservation_lines (
      reservation_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      product_id BIGINT UNSIGNED NOT NULL,
      quantity INT UNSIGNED NOT NULL,
      adjustment_id BIGINT UNSIGNED NULL,
      PRIMARY KEY (reservation_id, product_id),
      CONSTRAINT reservation_lines_reservation FOREIGN KEY (reservation_id) REFERENCES reservations (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['reservation_lines', 'reservations']) await sequelize.query(`DROP TABLE ${table}`);
};
