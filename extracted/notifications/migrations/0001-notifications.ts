import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Ids begin far above those of the shop, so that a client which comes from the shop's stream with the last id that it saw there
// is given all that was delivered here, and nobody takes an id of one side for one of the other.
export const firstNotificationId = 1_000_000_000_000;

export const up: SchemaMigration = async ({ context: { sequelize } }) => {
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
      delivered_by ENUM('monolith','service') NOT NULL,
      event_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
      event_epoch INT UNSIGNED NOT NULL,
      event_position BIGINT UNSIGNED NOT NULL,
      marked TINYINT(1) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY notifications_one_per_event (event_id),
      KEY notifications_of_account (account_id, id),
      KEY notifications_by_position (delivered_by, marked, event_epoch, event_position)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci AUTO_INCREMENT=${firstNotificationId}
  `);
  await sequelize.query(`
    CREATE TABLE notification_mailboxes (
      account_id BIGINT UNSIGNED NOT NULL,
      unread INT UNSIGNED NOT NULL,
      PRIMARY KEY (account_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['notification_mailboxes', 'notifications']) await sequelize.query(`DROP TABLE ${table}`);
};
