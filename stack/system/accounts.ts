import type { Engine } from '../addresses.ts';

/** The databases of the system, and the names of the accounts that reach them. */
export const schemas = {
  shop: 'shop',
  catalog: 'catalog',
  inventory: 'inventory',
  notifications: 'notifications',
  payments: 'payments',
  orders: 'orders',
};
export type Schemas = typeof schemas;
export const accountNames = {
  shop: 'shop',
  catalog: 'catalog',
  mover: 'strangler',
  relay: 'relay',
  catalogRelay: 'catalog_relay',
  inventory: 'inventory',
  inventoryRelay: 'inventory_relay',
  notifications: 'notifications',
  notificationsRelay: 'notifications_relay',
  payments: 'payments',
  paymentsRelay: 'payments_relay',
  orders: 'orders',
  ordersRelay: 'orders_relay',
} as const;
export type AccountName = keyof typeof accountNames;

/** Rights of an account, each as it stands between GRANT and TO. */
export type Grants = Record<AccountName, string[]>;

/**
 * What the mover's account needs on a database whose tables are captured, and no more than preflight asks for. That is
 * both of them: once the service owns its tables they are the source, and the shop's follow.
 */
const onCaptured = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'ALTER',
  'DROP',
  'INDEX',
  'TRIGGER',
  'LOCK TABLES',
] as const;

/** MariaDB's triggers go through a procedure. */
const onCapturedInMariadb = ['CREATE ROUTINE', 'ALTER ROUTINE', 'EXECUTE'] as const;

/**
 * What a relay needs. CREATE stands with each table because a right on a table that is not there yet is granted only
 * together with it. Partitions of the outbox are made and dropped with ALTER and DROP, under a lock; LOCK TABLES is
 * granted for a whole database only, and is of no use on a table that the account may not SELECT from.
 */
const ofRelay: readonly (readonly [table: string, privileges: string])[] = [
  ['strangler_outbox', 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP'],
  ['strangler_outbox_lease', 'SELECT, INSERT, UPDATE, DELETE, CREATE'],
  ['strangler_outbox_relay', 'SELECT, INSERT, UPDATE, DELETE, CREATE'],
  ['strangler_outbox_source', 'SELECT, CREATE'],
  ['strangler_outbox_applied', 'SELECT, CREATE'],
];

/** Whoever owns a database has every right in it and none in the others; only the mover sees them all. */
export function grantsFor(engine: Engine, names: Schemas = schemas): Grants {
  const shop = `\`${names.shop}\``;
  const catalog = `\`${names.catalog}\``;
  const inventory = `\`${names.inventory}\``;
  const notifications = `\`${names.notifications}\``;
  const payments = `\`${names.payments}\``;
  const orders = `\`${names.orders}\``;
  const captured = [...onCaptured, ...(engine === 'mariadb' ? onCapturedInMariadb : [])].join(', ');
  const relayOf = (schema: string) => [
    ...ofRelay.map(([table, privileges]) => `${privileges} ON ${schema}.${table}`),
    `LOCK TABLES ON ${schema}.*`,
  ];
  return {
    shop: [`ALL PRIVILEGES ON ${shop}.*`],
    catalog: [`ALL PRIVILEGES ON ${catalog}.*`],
    // REFERENCES: for foreign keys that are made again when the end of a slice's move is undone.
    mover: [
      `${captured}, REFERENCES ON ${shop}.*`,
      ...[catalog, inventory, notifications, payments, orders].map((schema) => `${captured} ON ${schema}.*`),
    ],
    relay: relayOf(shop),
    catalogRelay: relayOf(catalog),
    inventory: [`ALL PRIVILEGES ON ${inventory}.*`],
    inventoryRelay: relayOf(inventory),
    notifications: [`ALL PRIVILEGES ON ${notifications}.*`],
    notificationsRelay: relayOf(notifications),
    payments: [`ALL PRIVILEGES ON ${payments}.*`],
    paymentsRelay: relayOf(payments),
    orders: [`ALL PRIVILEGES ON ${orders}.*`],
    ordersRelay: relayOf(orders),
  };
}
