import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE notification_mailboxes (
      account_id BIGINT UNSIGNED NOT NULL,
      unread INT UNSIGNED NOT NULL,
      PRIMARY KEY (account_id),
      CONSTRAINT notification_mailboxes_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE notifications (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      account_id BIGINT UNSIGNED NOT NULL,
      kind VARCHAR(32) NOT NULL,
      order_id BIGINT UNSIGNED NULL,
      title VARCHAR(200) NOT NULL,
      body VARCHAR(1000) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      read_at DATETIME(3) NULL,
      PRIMARY KEY (id),
      KEY notifications_of_account (account_id, id),
      KEY notifications_order (order_id),
      CONSTRAINT notifications_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT notifications_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE notifications');
  await sequelize.query('DROP TABLE notification_mailboxes');
}
