import type { StackAddresses } from '../addresses.ts';
import type { BrokerAccount } from './broker-accounts.ts';
import type { RedisAccount } from './redis-accounts.ts';

/** A process of the example system: what is run, with what, and how one knows that it is ready. */
export type ProcessDefinition = {
  /** Unique in the system, e.g. `catalog-1`. */
  name: string;
  kind: ProcessKind;
  /** Relative to the repository. */
  entry: string;
  /** What follows it on the command line. */
  args?: string[];
  env: Record<string, string>;
  /** Where it answers requests. */
  url: string;
  /** Where it answers operators, for a process that has a port of its own for them. */
  adminUrl?: string;
  /** Answers 200 once the process can do its work. */
  readyUrl: string;
};

export type ProcessKind =
  | 'payment-provider'
  | 'mailbox'
  | 'monolith'
  | 'relay'
  | 'applier'
  | 'catalog'
  | 'inventory'
  | 'notifications'
  | 'payments'
  | 'orders'
  | 'proxy'
  | 'publisher';

/** The databases as each process reaches them, each by an account of its own. */
export type SystemDatabases = {
  shopUrl: string;
  catalogUrl: string;
  /** The shop's database, by an account that may touch nothing but its outbox. */
  relayUrl: string;
  /** Likewise, the catalogue's. */
  catalogRelayUrl: string;
  inventoryUrl: string;
  inventoryRelayUrl: string;
  notificationsUrl: string;
  notificationsRelayUrl: string;
  paymentsUrl: string;
  paymentsRelayUrl: string;
  ordersUrl: string;
  ordersRelayUrl: string;
  /** The data mover's account on all: the only one that may see more than one database. */
  mover: {
    shopUrl: string;
    catalogUrl: string;
    inventoryUrl: string;
    notificationsUrl: string;
    paymentsUrl: string;
    ordersUrl: string;
  };
};

export type SystemSecrets = {
  /** Shared by monolith and payment provider, to sign webhooks. */
  webhookSecret: string;
  /** Lets an operator change things on the proxies' admin ports. */
  operatorToken: string;
  /** File of the tokens by which people sign in at the dashboard; null: there are none, and they may only look. */
  adminTokensFile: string | null;
  /** Of the orders' own account at the shop. */
  ordersAccountPassword: string;
};

export type SystemAccounts = {
  rabbitmq: Record<BrokerAccount, string>;
  redis: Record<RedisAccount, string>;
};

export type SystemPlan = {
  stack: StackAddresses;
  databases: SystemDatabases;
  /** RabbitMQ, in the system's virtual host, and Redis, as each process reaches them, each by an account of its own. */
  accounts: SystemAccounts;
  secrets: SystemSecrets;
  /** By the names that `portNames` lists. */
  ports: Record<string, number>;
  proxies: number;
  workersPerProxy: number;
  catalogInstances: number;
  relays: number;
  /** Relays of the catalogue's own outbox, which it has once it may own its tables. */
  catalogRelays: number;
  /** Appliers of the catalogue, each for both directions. */
  appliers: number;
  /** Instances of the inventory, with one relay and one applier; 0: there is no such service. */
  inventoryInstances: number;
  /** Measures slices for the dashboard, and carries out what is ordered there. */
  publisher: boolean;
  /** Likewise; with a mailbox that takes their mails. */
  notificationsInstances: number;
  /** Likewise; the provider's webhooks then come through the first proxy. */
  paymentsInstances: number;
  /** Likewise; they ask inventory and payments, which have to be there too. */
  ordersInstances: number;
  slicesFolder: string;
  /** What the proxies ask of requests. */
  gatewayFile: string;
  /** Folder in which a process may keep what must outlive it. */
  dataFolder(process: string): string;
  /** By which services know each other. */
  keys: { trustFile: string; keyFile(service: string): string };
  /** Put over a process's environment, by its name or kind. */
  env?: Record<string, Record<string, string>>;
};

type Counts = Pick<
  SystemPlan,
  | 'proxies'
  | 'catalogInstances'
  | 'relays'
  | 'catalogRelays'
  | 'appliers'
  | 'inventoryInstances'
  | 'notificationsInstances'
  | 'paymentsInstances'
  | 'ordersInstances'
  | 'publisher'
>;

/** Every port that the system needs, and the one that is taken for it when people start it and it is free. */
export function portNames(counts: Counts): Record<string, number> {
  const { proxies, catalogInstances, relays, catalogRelays, appliers } = counts;
  const { inventoryInstances, notificationsInstances, paymentsInstances, ordersInstances, publisher } = counts;
  const names: Record<string, number> = { 'payment-provider': 3900, monolith: 3000 };
  for (let n = 1; n <= relays; n++) names[`relay-${n}`] = 3950 + n;
  for (let n = 1; n <= catalogRelays; n++) names[`relay-catalog-${n}`] = 3970 + n;
  for (let n = 1; n <= appliers; n++) names[`applier-catalog-${n}`] = 3960 + n;
  for (let n = 1; n <= catalogInstances; n++) {
    names[`catalog-${n}`] = 3100 + n;
    names[`catalog-${n}-grpc`] = 3200 + n;
  }
  for (let n = 1; n <= inventoryInstances; n++) {
    names[`inventory-${n}`] = 3120 + n;
    names[`inventory-${n}-grpc`] = 3220 + n;
  }
  if (inventoryInstances > 0) {
    names['relay-inventory-1'] = 3981;
    names['applier-inventory-1'] = 3986;
  }
  if (publisher) names.publisher = 3990;
  for (let n = 1; n <= notificationsInstances; n++) names[`notifications-${n}`] = 3130 + n;
  if (notificationsInstances > 0) {
    names.mailbox = 3113;
    names['mailbox-smtp'] = 3125;
    names['relay-notifications-1'] = 3982;
    names['applier-notifications-1'] = 3987;
  }
  for (let n = 1; n <= paymentsInstances; n++) {
    names[`payments-${n}`] = 3140 + n;
    names[`payments-${n}-grpc`] = 3240 + n;
  }
  if (paymentsInstances > 0) {
    names['relay-payments-1'] = 3983;
    names['applier-payments-1'] = 3988;
  }
  for (let n = 1; n <= ordersInstances; n++) names[`orders-${n}`] = 3104 + n;
  if (ordersInstances > 0) {
    names['relay-orders-1'] = 3984;
    names['applier-orders-1'] = 3989;
  }
  for (let n = 1; n <= proxies; n++) {
    names[`proxy-${n}`] = 8078 + 2 * n;
    names[`proxy-${n}-admin`] = 8079 + 2 * n;
  }
  return names;
}

/** The processes in the order in which they are started. Pure: it only writes down what they are told. */
export function processDefinitions(plan: SystemPlan): ProcessDefinition[] {
  const { stack, databases, secrets, ports, accounts } = plan;
  const { rabbitmq, redis } = accounts;
  const at = (name: string): string => `http://127.0.0.1:${ports[name]}`;
  const common = (name: string): Record<string, string> => ({
    NODE_ENV: 'production',
    // Those of whoever starts the system, a test runner say, are not meant for it.
    NODE_OPTIONS: '',
    HOST: '127.0.0.1',
    PORT: String(ports[name]),
  });
  const flags = flagStoreOf(stack);
  const trusting = {
    ...{ SERVICE_TRUST: 'enforce', SERVICE_TRUST_FILE: plan.keys.trustFile },
    SERVICE_API_CALLERS: 'proxy,operator',
  };
  const ready = (url: string): string => new URL('/health/ready', url).href;

  const provider: ProcessDefinition = {
    name: 'payment-provider',
    kind: 'payment-provider',
    entry: 'monolith/payment-provider/main.ts',
    env: {
      ...common('payment-provider'),
      // Wherever the payments are, their route leads to them.
      WEBHOOK_URL: `${at(plan.paymentsInstances > 0 ? 'proxy-1' : 'monolith')}/api/payments/webhooks`,
      PAYMENT_WEBHOOK_SECRET: secrets.webhookSecret,
    },
    url: at('payment-provider'),
    readyUrl: ready(at('payment-provider')),
  };
  const monolith: ProcessDefinition = {
    name: 'monolith',
    kind: 'monolith',
    entry: 'monolith/main.ts',
    env: {
      ...common('monolith'),
      SERVICE_ID: 'monolith-1',
      DATABASE_URL: databases.shopUrl,
      REDIS_URL: redis.shop,
      CONSUL_URL: stack.consulUrl,
      PAYMENT_PROVIDER_URL: at('payment-provider'),
      PAYMENT_WEBHOOK_SECRET: secrets.webhookSecret,
      PUBLIC_URL: at('monolith'),
      STRANGLER_FLAGS: flags,
      DATA_DIRECTORY: plan.dataFolder('monolith'),
      SERVICE_KEY_FILE: plan.keys.keyFile('shop'),
      ...(plan.inventoryInstances > 0 ? { INVENTORY_GRPC: 'consul' } : {}),
      ...(plan.paymentsInstances > 0 ? { PAYMENTS_GRPC: 'consul', RABBITMQ_URL: rabbitmq.shop } : {}),
    },
    url: at('monolith'),
    readyUrl: ready(at('monolith')),
  };
  const relay = (name: string, databaseUrl: string, rabbitmqUrl: string): ProcessDefinition => {
    return {
      name,
      kind: 'relay',
      entry: 'platform/outbox/relay/main.ts',
      env: {
        ...common(name),
        RELAY_ID: name,
        DATABASE_URL: databaseUrl,
        RABBITMQ_URL: rabbitmqUrl,
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  };
  const relays = [
    ...numbered(plan.relays).map((n) => relay(`relay-${n}`, databases.relayUrl, rabbitmq.relay)),
    ...numbered(plan.catalogRelays).map((n) =>
      relay(`relay-catalog-${n}`, databases.catalogRelayUrl, rabbitmq.catalog_relay),
    ),
    ...(plan.inventoryInstances > 0
      ? [relay('relay-inventory-1', databases.inventoryRelayUrl, rabbitmq.inventory_relay)]
      : []),
    ...(plan.notificationsInstances > 0
      ? [relay('relay-notifications-1', databases.notificationsRelayUrl, rabbitmq.notifications_relay)]
      : []),
    ...(plan.paymentsInstances > 0
      ? [relay('relay-payments-1', databases.paymentsRelayUrl, rabbitmq.payments_relay)]
      : []),
    ...(plan.ordersInstances > 0 ? [relay('relay-orders-1', databases.ordersRelayUrl, rabbitmq.orders_relay)] : []),
  ];
  const applier = (slice: string, targetUrl: string, n: number): ProcessDefinition => {
    const name = `applier-${slice}-${n}`;
    return {
      name,
      kind: 'applier',
      entry: 'migrations/applier/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        SLICE: slice,
        STRANGLER_SLICES: plan.slicesFolder,
        STRANGLER_SOURCE: databases.mover.shopUrl,
        STRANGLER_TARGET: targetUrl,
        STRANGLER_FLAGS: flags,
        RABBITMQ_URL: rabbitmq.strangler,
        DATA_DIRECTORY: plan.dataFolder(name),
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  };
  const appliers = [
    ...numbered(plan.appliers).map((n) => applier('catalog', databases.mover.catalogUrl, n)),
    ...(plan.inventoryInstances > 0 ? [applier('inventory', databases.mover.inventoryUrl, 1)] : []),
    ...(plan.notificationsInstances > 0 ? [applier('notifications', databases.mover.notificationsUrl, 1)] : []),
    ...(plan.paymentsInstances > 0 ? [applier('payments', databases.mover.paymentsUrl, 1)] : []),
    ...(plan.ordersInstances > 0 ? [applier('orders', databases.mover.ordersUrl, 1)] : []),
  ];
  const catalogs = numbered(plan.catalogInstances).map((n): ProcessDefinition => {
    const name = `catalog-${n}`;
    return {
      name,
      kind: 'catalog',
      entry: 'extracted/catalog/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        GRPC_PORT: String(ports[`${name}-grpc`]),
        DATABASE_URL: databases.catalogUrl,
        REDIS_URL: redis.catalog,
        RABBITMQ_URL: rabbitmq.catalog,
        CONSUL_URL: stack.consulUrl,
        JWKS_URL: `${at('monolith')}/.well-known/jwks.json`,
        ACCOUNTS_URL: at('monolith'),
        STRANGLER_FLAGS: flags,
        DATA_DIRECTORY: plan.dataFolder(name),
        ...trusting,
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  });
  const inventories = numbered(plan.inventoryInstances).map((n): ProcessDefinition => {
    const name = `inventory-${n}`;
    return {
      name,
      kind: 'inventory',
      entry: 'extracted/inventory/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        GRPC_PORT: String(ports[`${name}-grpc`]),
        DATABASE_URL: databases.inventoryUrl,
        RABBITMQ_URL: rabbitmq.inventory,
        CONSUL_URL: stack.consulUrl,
        JWKS_URL: `${at('monolith')}/.well-known/jwks.json`,
        STRANGLER_FLAGS: flags,
        DATA_DIRECTORY: plan.dataFolder(name),
        ...trusting,
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  });
  const mailbox = (): ProcessDefinition => ({
    name: 'mailbox',
    kind: 'mailbox',
    entry: 'extracted/notifications/mailbox/main.ts',
    env: { ...common('mailbox'), SMTP_PORT: String(ports['mailbox-smtp']) },
    url: at('mailbox'),
    readyUrl: ready(at('mailbox')),
  });
  const notifications = numbered(plan.notificationsInstances).map((n): ProcessDefinition => {
    const name = `notifications-${n}`;
    return {
      name,
      kind: 'notifications',
      entry: 'extracted/notifications/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        DATABASE_URL: databases.notificationsUrl,
        REDIS_URL: redis.notifications,
        RABBITMQ_URL: rabbitmq.notifications,
        CONSUL_URL: stack.consulUrl,
        JWKS_URL: `${at('monolith')}/.well-known/jwks.json`,
        SMTP_URL: `smtp://127.0.0.1:${ports['mailbox-smtp']}`,
        STRANGLER_FLAGS: flags,
        DATA_DIRECTORY: plan.dataFolder(name),
        ...trusting,
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  });
  const payments = numbered(plan.paymentsInstances).map((n): ProcessDefinition => {
    const name = `payments-${n}`;
    return {
      name,
      kind: 'payments',
      entry: 'extracted/payments/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        GRPC_PORT: String(ports[`${name}-grpc`]),
        DATABASE_URL: databases.paymentsUrl,
        RABBITMQ_URL: rabbitmq.payments,
        CONSUL_URL: stack.consulUrl,
        JWKS_URL: `${at('monolith')}/.well-known/jwks.json`,
        PAYMENT_PROVIDER_URL: at('payment-provider'),
        PAYMENT_WEBHOOK_SECRET: secrets.webhookSecret,
        STRANGLER_FLAGS: flags,
        DATA_DIRECTORY: plan.dataFolder(name),
        ...trusting,
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  });
  const orders = numbered(plan.ordersInstances).map((n): ProcessDefinition => {
    const name = `orders-${n}`;
    return {
      name,
      kind: 'orders',
      entry: 'extracted/orders/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        DATABASE_URL: databases.ordersUrl,
        RABBITMQ_URL: rabbitmq.orders,
        CONSUL_URL: stack.consulUrl,
        SHOP_URL: at('monolith'),
        JWKS_URL: `${at('monolith')}/.well-known/jwks.json`,
        SERVICE_EMAIL: ordersAccountEmail,
        SERVICE_PASSWORD: secrets.ordersAccountPassword,
        INVENTORY_GRPC: 'consul',
        PAYMENTS_GRPC: 'consul',
        CATALOG_URL: 'consul',
        STRANGLER_FLAGS: flags,
        DATA_DIRECTORY: plan.dataFolder(name),
        SERVICE_KEY_FILE: plan.keys.keyFile('orders'),
        ...trusting,
      },
      url: at(name),
      readyUrl: ready(at(name)),
    };
  });
  const proxies = numbered(plan.proxies).map((n): ProcessDefinition => {
    const name = `proxy-${n}`;
    return {
      name,
      kind: 'proxy',
      entry: 'strangler-proxy/main.ts',
      env: {
        ...common(name),
        SERVICE_ID: name,
        ADMIN_HOST: '127.0.0.1',
        ADMIN_PORT: String(ports[`${name}-admin`]),
        WORKERS: String(plan.workersPerProxy),
        MONOLITH_URL: at('monolith'),
        REDIS_URL: redis.proxy,
        CONSUL_URL: stack.consulUrl,
        STRANGLER_FLAGS: flags,
        STRANGLER_SLICES: plan.slicesFolder,
        GATEWAY_FILE: plan.gatewayFile,
        DATA_DIRECTORY: plan.dataFolder(name),
        OPERATOR_TOKEN: secrets.operatorToken,
        ...(secrets.adminTokensFile === null ? {} : { ADMIN_TOKENS_FILE: secrets.adminTokensFile }),
        SERVICE_KEY_FILE: plan.keys.keyFile('proxy'),
      },
      url: at(name),
      adminUrl: at(`${name}-admin`),
      readyUrl: ready(at(`${name}-admin`)),
    };
  });
  const publishers: ProcessDefinition[] = plan.publisher
    ? [
        {
          name: 'publisher',
          kind: 'publisher',
          entry: 'migrations/cli/main.ts',
          args: [
            ...['publish', 'catalog', ...(plan.inventoryInstances > 0 ? ['inventory'] : [])],
            ...(plan.notificationsInstances > 0 ? ['notifications'] : []),
            ...(plan.paymentsInstances > 0 ? ['payments'] : []),
            ...(plan.ordersInstances > 0 ? ['orders'] : []),
            ...['--orders', '--every', '2s', '--port', String(ports.publisher)],
          ],
          env: {
            NODE_ENV: 'production',
            NODE_OPTIONS: '',
            LOG_LEVEL: 'warn',
            STRANGLER_SOURCE: databases.mover.shopUrl,
            STRANGLER_TARGET: databases.mover.catalogUrl,
            ...(plan.inventoryInstances > 0 ? { STRANGLER_TARGET_INVENTORY: databases.mover.inventoryUrl } : {}),
            ...(plan.notificationsInstances > 0
              ? { STRANGLER_TARGET_NOTIFICATIONS: databases.mover.notificationsUrl }
              : {}),
            ...(plan.paymentsInstances > 0 ? { STRANGLER_TARGET_PAYMENTS: databases.mover.paymentsUrl } : {}),
            ...(plan.ordersInstances > 0 ? { STRANGLER_TARGET_ORDERS: databases.mover.ordersUrl } : {}),
            STRANGLER_SLICES: plan.slicesFolder,
            STRANGLER_FLAGS: flags,
            RABBITMQ_URL: rabbitmq.strangler,
            REDIS_URL: redis.strangler,
          },
          url: at('publisher'),
          readyUrl: ready(at('publisher')),
        },
      ]
    : [];
  return [
    provider,
    ...(plan.notificationsInstances > 0 ? [mailbox()] : []),
    monolith,
    ...relays,
    ...appliers,
    ...catalogs,
    ...inventories,
    ...notifications,
    ...payments,
    ...orders,
    ...proxies,
    ...publishers,
  ].map((definition) => ({
    ...definition,
    env: { ...definition.env, ...plan.env?.[definition.kind], ...plan.env?.[definition.name] },
  }));
}

/** Of the account by which the orders log in at the shop. */
export const ordersAccountEmail = 'orders@shop.example';

/** The flag store of a system on these servers. */
export const flagStoreOf = ({ consulUrl }: Pick<StackAddresses, 'consulUrl'>): string =>
  `consul://${new URL(consulUrl).host}`;

const numbered = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
