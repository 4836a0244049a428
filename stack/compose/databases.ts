/** Makes the databases and accounts of the example system on a server that is given: the first container to run. */
import { type AccountName, accountNames, schemas } from '../system/accounts.ts';
import { type AccountPasswords, createDatabases } from '../system/databases.ts';

/** Each account's password is in a variable of its name: `CATALOG_RELAY_PASSWORD`. */
const variables = Object.entries(accountNames).map(
  ([account, name]) => [account as AccountName, `${name.toUpperCase()}_PASSWORD`] as const,
);
const missing = ['ADMIN_DATABASE_URL', ...variables.map(([, variable]) => variable)].filter(
  (name) => !process.env[name],
);

if (missing.length > 0) {
  process.stderr.write(`databases: not set: ${missing.join(', ')}\n`);
  process.exitCode = 2;
} else {
  const passwords = Object.fromEntries(variables.map(([account, variable]) => [account, process.env[variable]]));
  await createDatabases(process.env.ADMIN_DATABASE_URL ?? '', {
    fresh: false,
    passwords: passwords as AccountPasswords,
  });
  process.stdout.write(`databases ${Object.values(schemas).join(', ')} are there, each with accounts of its own\n`);
}
