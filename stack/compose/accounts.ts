/** Makes the accounts of the example system at RabbitMQ and Redis, and declares what everybody meets at. */
import { prepareBroker } from '../system/broker.ts';
import { type BrokerAccount, brokerAccounts } from '../system/broker-accounts.ts';
import { giveRedisAccounts, redisAccounts } from '../system/redis-accounts.ts';

const { ADMIN_RABBITMQ_URL: rabbitmqUrl, RABBITMQ_MANAGEMENT_URL: rabbitmqManagementUrl } = process.env;
const { ADMIN_REDIS_URL: redisUrl } = process.env;

/** Each account's password is in a variable of its name: `CATALOG_RELAY_PASSWORD`. */
const variables = [...new Set<string>([...brokerAccounts, ...redisAccounts])].map(
  (account) => [account, `${account.toUpperCase()}_PASSWORD`] as const,
);
const missing = [
  ...['ADMIN_RABBITMQ_URL', 'RABBITMQ_MANAGEMENT_URL', 'ADMIN_REDIS_URL'],
  ...variables.map(([, variable]) => variable),
].filter((name) => !process.env[name]);

if (missing.length > 0 || !rabbitmqUrl || !rabbitmqManagementUrl || !redisUrl) {
  process.stderr.write(`accounts: not set: ${missing.join(', ')}\n`);
  process.exitCode = 2;
} else {
  const passwords = Object.fromEntries(variables.map(([account, variable]) => [account, process.env[variable] ?? '']));
  await prepareBroker(
    { rabbitmqUrl, rabbitmqManagementUrl },
    { fresh: false, virtualHost: '/', passwords: passwords as Record<BrokerAccount, string> },
  );
  await giveRedisAccounts(redisUrl, { passwords, say: (line) => void process.stderr.write(`${line}\n`) });
  process.stdout.write('RabbitMQ and Redis have an account for each, with rights on what is its own\n');
}
