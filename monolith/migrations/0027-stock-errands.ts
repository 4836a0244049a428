import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE stock_errands (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      order_id BIGINT UNSIGNED NOT NULL,
      kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      reservation_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
      account_id BIGINT UNSIGNED NULL,
      stock_lines TEXT NOT NULL,
      created_at DATETIME(3) NOT NULL,
      sent_at DATETIME(3) NULL,
      done_at DATETIME(3) NULL,
      PRIMARY KEY (id),
      UNIQUE KEY stock_errands_of_order (order_id, kind),
      KEY stock_errands_open (done_at, id),
      CONSTRAINT stock_errands_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE stock_errands');
}
