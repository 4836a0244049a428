/** The whole example system as processes on this machine: what `npm start`, the demo and the end-to-end tests stand on. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StackAddresses } from '../addresses.ts';
import { repositoryRoot, stackHome } from '../home/paths.ts';
import { recordedPorts } from '../instance/records.ts';
import { identify } from '../process/identity.ts';
import { withLock } from '../process/lock.ts';
import { pickPorts, portIsFree } from '../process/ports.ts';
import { upStack } from '../servers.ts';
import { prepareBroker } from './broker.ts';
import { createDatabases } from './databases.ts';
import {
  flagStoreOf,
  type ProcessDefinition,
  type ProcessKind,
  portNames,
  processDefinitions,
  type SystemPlan,
  type SystemSecrets,
} from './definitions.ts';
import { makeKeys } from './keys.ts';
import { forgetState, prepareData } from './prepare.ts';
import { type ProcessHandle, type RunningProcess, startProcess, stopRecorded } from './process-handle.ts';
import { giveRedisAccounts } from './redis-accounts.ts';
import { bringToStage, type StartStage } from './stage.ts';
import {
  operatorEnvironment,
  readSystemFile,
  removeSystemFile,
  type SystemAddresses,
  writeSystemFile,
} from './system-file.ts';

export type { ProcessHandle } from './process-handle.ts';
export {
  findSystem,
  isSystemInUse,
  operatorEnvironment,
  type SystemAddresses,
  type SystemFile,
} from './system-file.ts';

export type SystemOptions = {
  /** Names the folder that it is kept in, and the servers when none are given. */
  instance: string;
  /** The servers to stand on; brought up when absent. Only one system can use the same servers. */
  stack?: StackAddresses;
  /** Default 2. */
  proxies?: number;
  /** Default 2. */
  workersPerProxy?: number;
  /** Default 2. */
  catalogInstances?: number;
  /** Default 2. */
  relays?: number;
  /** Of the catalogue's own outbox. Default 1. */
  catalogRelays?: number;
  /** Of the catalogue. Default 2. */
  appliers?: number;
  /** With one relay and one applier. Default 0: the stock is the monolith's, and nobody else knows of it. */
  inventoryInstances?: number;
  /** With one relay, one applier and a mailbox. Default 0: the monolith tells its customers itself. */
  notificationsInstances?: number;
  /** With one relay and one applier. Default 0: the monolith takes the money itself. */
  paymentsInstances?: number;
  /**
   * With one relay, one applier and an account of their own at the shop. Needs inventory and payments. Default 0: the monolith takes
   * the orders itself.
   */
  ordersInstances?: number;
  /** What the catalogue is brought to when it is not there yet. Default `shadow`: its data is kept in step. */
  stage?: StartStage;
  /**
   * With a token by which somebody signs in at the dashboard as admin, and a process that measures slices for it and carries
   * out what is ordered there. Default false: whoever is on this machine may look.
   */
  dashboard?: boolean;
  /** Products to make up when the shop is empty; the other tables follow from it. Default 200; 0: no seed at all. */
  seedSize?: number;
  /** Starts from empty databases, flags, queues and caches. Default false: what is there is kept. */
  fresh?: boolean;
  /** `default`: the documented ports where they are free, for people. `free` (the default): any. */
  ports?: 'default' | 'free';
  /** Put over the environment of a process, by its name (`proxy-1`) or kind (`proxy`). */
  env?: Record<string, Record<string, string>>;
  /** Default: migrations/slices. */
  slicesFolder?: string;
  log?: (line: string) => void;
  signal?: AbortSignal;
};

/** Services that a system has only where it is told to. */
const optionalServices = ['inventory', 'notifications', 'payments', 'orders'] as const;

export type System = SystemAddresses & {
  instance: string;
  addresses: SystemAddresses;
  processes: ProcessHandle[];
  /** Throws for a name that there is not. */
  process(name: string): ProcessHandle;
  /** Stops the processes, those in front first. The servers stay as they are. */
  stop(): Promise<void>;
};

/** Starts the system and resolves when every process says that it is ready. On failure nothing of it is left. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const { instance, signal } = options;
  const file = join(stackHome().run, `${instance}.system.lock`);
  const lock = { waitMs: 10 * 60_000, what: `the start of system ${instance}`, signal };
  return await withLock(file, lock, () => startLocked(options));
}

async function startLocked(options: SystemOptions): Promise<System> {
  const { instance, signal } = options;
  const say = options.log ?? (() => {});
  const home = stackHome();
  const folder = join(home.instance(instance), 'system');
  await stopSystem(instance);
  const stack = options.stack ?? (await upStack({ instance, log: say, ...(signal ? { signal } : {}) }));
  signal?.throwIfAborted();
  mkdirSync(folder, { recursive: true, mode: 0o700 });

  const fresh = options.fresh ?? false;
  const databases = await createDatabases(stack.mysqlUrl, { fresh });
  const broker = await prepareBroker(stack, { fresh });
  const rabbitmqUrl = broker.url;
  const accounts = { rabbitmq: broker.accounts, redis: await giveRedisAccounts(stack.redisUrl, { say }) };
  if (fresh) await forgetState(stack);
  const ordersAccountPassword = randomBytes(24).toString('hex');
  await prepareData({
    databases,
    services: ['catalog', ...optionalServices.filter((name) => (options[`${name}Instances`] ?? 0) > 0)],
    ordersAccountPassword,
    seedSize: options.seedSize ?? 200,
    say,
    logFile: join(folder, 'prepare.log'),
    signal,
  });

  const started: RunningProcess[] = [];
  const startedBy = identify(process.pid);
  try {
    const definitions = await withLock(
      join(home.run, 'ports.lock'),
      { waitMs: 30_000, what: 'the choice of ports', signal },
      async () =>
        processDefinitions(await makePlan(options, { stack, databases, accounts, ordersAccountPassword }, folder)),
    );
    const addresses = addressesOf(
      { stack, databases, rabbitmqUrl, accounts },
      folder,
      slicesFolderOf(options),
      definitions,
    );
    const write = () =>
      writeSystemFile(instance, {
        instance,
        ...(startedBy ? { startedBy } : {}),
        addresses,
        processes: started.map((process) => process.record()),
      });
    const launch = async (wanted: ProcessDefinition[]): Promise<void> => {
      const begun = performance.now();
      const running = await Promise.all(
        wanted.map(async (definition) => {
          const process = await startProcess(definition, folder, write);
          started.push(process);
          write();
          return process;
        }),
      );
      await Promise.all(running.map((process) => process.waitReady()));
      signal?.throwIfAborted();
      say(
        `${running.map(({ name }) => name).join(', ')} ready after ${((performance.now() - begun) / 1000).toFixed(1)} s`,
      );
    };
    const back = definitions.filter(({ kind }) => ['monolith', 'payment-provider', 'mailbox'].includes(kind));
    await launch(back);
    await launch(definitions.filter((definition) => !back.includes(definition)));
    await bringToStage(options.stage ?? 'shadow', {
      operator: operatorEnvironment(addresses),
      say,
      logFile: join(folder, 'stage.log'),
      signal,
    });
    await broker
      .forgetEarlier()
      .catch((error: Error) => say(`what an earlier system has left stays: ${error.message}`));
    const order = definitions.map(({ name }) => name);
    const processes = started.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    return {
      ...addresses,
      instance,
      addresses,
      processes,
      process(name) {
        const found = processes.find((process) => process.name === name);
        if (found === undefined)
          throw new Error(`no process is called ${JSON.stringify(name)}; there are ${order.join(', ')}`);
        return found;
      },
      async stop() {
        await inOrder(processes, (process) => process.stop());
        removeSystemFile(instance);
      },
    };
  } catch (error) {
    await Promise.all(started.map((process) => process.stop()));
    removeSystemFile(instance);
    throw error;
  }
}

/** Ends the processes of a system that some run has started, by pid. Resolves to their names. */
export async function stopSystem(instance: string): Promise<string[]> {
  const file = readSystemFile(instance);
  if (file === undefined) return [];
  const ended: string[] = [];
  await inOrder(file.processes, async (record) => {
    if ((await stopRecorded(record)) !== 'none') ended.push(record.name);
  });
  removeSystemFile(instance);
  return ended;
}

/**
 * Whoever takes requests from outside goes first, then those that it asks, then those that carry what these have
 * written: all that a process can still cause while it ends finds the next one running.
 */
async function inOrder<P extends { kind: string }>(
  processes: readonly P[],
  end: (process: P) => Promise<unknown>,
): Promise<void> {
  for (const kinds of [
    ['publisher', 'proxy'],
    ['orders'],
    ['catalog', 'inventory', 'notifications', 'payments', 'monolith'],
    ['applier'],
    ['relay'],
    ['payment-provider', 'mailbox'],
  ]) {
    await Promise.all(processes.filter(({ kind }) => kinds.includes(kind)).map(end));
  }
}

async function makePlan(
  options: SystemOptions,
  {
    ordersAccountPassword,
    ...servers
  }: Pick<SystemPlan, 'stack' | 'databases' | 'accounts'> & Pick<SystemSecrets, 'ordersAccountPassword'>,
  folder: string,
): Promise<SystemPlan> {
  const counts = {
    proxies: options.proxies ?? 2,
    catalogInstances: options.catalogInstances ?? 2,
    relays: options.relays ?? 2,
    catalogRelays: options.catalogRelays ?? 1,
    appliers: options.appliers ?? 2,
    inventoryInstances: options.inventoryInstances ?? 0,
    publisher: options.dashboard ?? false,
    notificationsInstances: options.notificationsInstances ?? 0,
    paymentsInstances: options.paymentsInstances ?? 0,
    ordersInstances: options.ordersInstances ?? 0,
  };
  const ports: Record<string, number> = {};
  const reserved = recordedPorts(stackHome());
  for (const [name, usual] of Object.entries(portNames(counts))) {
    const taken = new Set([...reserved, ...Object.values(ports)]);
    const usualFits = options.ports === 'default' && !taken.has(usual) && (await portIsFree(usual));
    ports[name] = usualFits ? usual : ((await pickPorts(1, { taken }))[0] ?? 0);
  }
  return {
    ...servers,
    secrets: {
      webhookSecret: randomBytes(24).toString('hex'),
      operatorToken: randomBytes(24).toString('hex'),
      adminTokensFile: options.dashboard ? adminTokensFile(folder) : null,
      ordersAccountPassword,
    },
    ports,
    ...counts,
    workersPerProxy: options.workersPerProxy ?? 2,
    slicesFolder: slicesFolderOf(options),
    gatewayFile: join(repositoryRoot, 'stack/system/gateway.yaml'),
    dataFolder(process) {
      const place = join(folder, 'data', process);
      if (options.fresh) rmSync(place, { recursive: true, force: true });
      mkdirSync(place, { recursive: true, mode: 0o700 });
      return place;
    },
    keys: await makeKeys(keysFolderOf(folder)),
    ...(options.env === undefined ? {} : { env: options.env }),
  };
}

const keysFolderOf = (folder: string): string => join(folder, 'keys');

const slicesFolderOf = ({ slicesFolder }: SystemOptions): string =>
  slicesFolder ?? join(repositoryRoot, 'migrations/slices');

function addressesOf(
  servers: Pick<SystemAddresses, 'stack' | 'databases' | 'rabbitmqUrl' | 'accounts'>,
  folder: string,
  slicesFolder: string,
  definitions: ProcessDefinition[],
): SystemAddresses {
  const of = (kind: ProcessKind) => definitions.filter((definition) => definition.kind === kind);
  const proxies = of('proxy');
  const urls = (kind: ProcessKind) => of(kind).map(({ url }) => url);
  return {
    ...servers,
    flagStore: flagStoreOf(servers.stack),
    slicesFolder,
    keysFolder: keysFolderOf(folder),
    proxyUrls: proxies.map(({ url }) => url),
    proxyAdminUrls: proxies.flatMap(({ adminUrl }) => adminUrl ?? []),
    monolithUrl: of('monolith')[0]?.url ?? '',
    paymentProviderUrl: of('payment-provider')[0]?.url ?? '',
    catalogUrls: urls('catalog'),
    inventoryUrls: urls('inventory'),
    notificationsUrls: urls('notifications'),
    mailboxUrl: of('mailbox')[0]?.url ?? '',
    paymentsUrls: urls('payments'),
    ordersUrls: urls('orders'),
    relayUrls: urls('relay'),
    applierUrls: urls('applier'),
    operatorToken: proxies[0]?.env.OPERATOR_TOKEN ?? '',
    adminToken: adminTokenIn(proxies[0]?.env.ADMIN_TOKENS_FILE),
  };
}

/** Written anew by each start, for its owner alone: a token of a system that has ended opens nothing. */
function adminTokensFile(folder: string): string {
  const file = join(folder, 'admin-tokens.json');
  rmSync(file, { force: true });
  const holders = [{ name: 'admin', role: 'admin', token: randomBytes(18).toString('base64url') }];
  writeFileSync(file, `${JSON.stringify(holders, undefined, 2)}\n`, { mode: 0o600 });
  return file;
}

const adminTokenIn = (file: string | undefined): string | null =>
  file === undefined ? null : (JSON.parse(readFileSync(file, 'utf8')) as { token: string }[])[0]!.token;
