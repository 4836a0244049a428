/** Makes the databases and accounts of the example system on a server that is given: the first container to run. */
import { createDatabases } from '../system/databases.ts';

const names = [
  'ADMIN_DATABASE_URL',
  'SHOP_PASSWORD',
  'CATALOG_PASSWORD',
  'STRANGLER_PASSWORD',
  'RELAY_PASSWORD',
  'CATALOG_RELAY_PASSWORD',
] as const;
const missing = names.filter((name) => !process.env[name]);

if (missing.length > 0) {
  process.stderr.write(`databases: not set: ${missing.join(', ')}\n`);
  process.exitCode = 2;
} else {
  const [adminUrl = '', ...passwords] = names.map((name) => process.env[name] ?? '');
  const [shop = '', catalog = '', mover = '', relay = '', catalogRelay = ''] = passwords;
  await createDatabases(adminUrl, { fresh: false, passwords: { shop, catalog, mover, relay, catalogRelay } });
  process.stdout.write('databases shop and catalog are there, each with accounts of its own\n');
}
