import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { configuredSigningKey, createSigningKeys } from './auth/signing-keys.ts';
import { systemClock } from './clock.ts';
import { monolithConfig } from './config.ts';
import { openDatabase } from './database.ts';

const [command, ...rest] = process.argv.slice(2);
if (command !== 'rotate' || rest.length > 0) {
  process.stderr.write('usage: node monolith/signing-key.ts rotate\n');
  process.exit(2);
}
const config = exitOnConfigError(() => monolithConfig());
const log = createLog({ name: 'signing-key', level: config.logLevel });
const database = openDatabase({ url: config.databaseUrl, log, poolMax: 1 });
try {
  const configuredPem = configuredSigningKey(config);
  if (configuredPem !== undefined) {
    throw new Error('The signing key comes from JWT_PRIVATE_KEY or JWT_PRIVATE_KEY_FILE; change it there');
  }
  const keys = createSigningKeys({ ...database, clock: systemClock, configuredPem });
  process.stdout.write(`${await keys.rotate()}\n`);
} catch (error) {
  log.fatal({ err: error }, 'the signing key was not rotated');
  process.exitCode = 1;
} finally {
  await database.close();
}
