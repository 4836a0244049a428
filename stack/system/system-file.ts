/** What is written down of a system that was started, for whoever wants to know where it is: it loads nothing that starts one. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity, StackAddresses } from '../addresses.ts';
import { stackHome, writeWhole } from '../home/paths.ts';
import { isAlive } from '../process/identity.ts';
import type { SystemAccounts, SystemDatabases } from './definitions.ts';
import { isRunning, type ProcessRecord } from './process-handle.ts';
import type { OperatorEnvironment } from './stage.ts';

export type SystemAddresses = {
  stack: StackAddresses;
  databases: SystemDatabases;
  /** The virtual host in which the system's exchanges and queues are, by the administrator. */
  rabbitmqUrl: string;
  /** RabbitMQ and Redis as each process reaches them. */
  accounts: SystemAccounts;
  flagStore: string;
  slicesFolder: string;
  /** Where the services' keys are made, for `strangler keys`. */
  keysFolder: string;
  proxyUrls: string[];
  proxyAdminUrls: string[];
  monolithUrl: string;
  paymentProviderUrl: string;
  catalogUrls: string[];
  inventoryUrls: string[];
  notificationsUrls: string[];
  /** Where the mails are looked at; empty where there is no mailbox. */
  mailboxUrl: string;
  paymentsUrls: string[];
  ordersUrls: string[];
  relayUrls: string[];
  applierUrls: string[];
  /** For the proxies' admin ports. */
  operatorToken: string;
  /** For the dashboard; null where the system was started without. */
  adminToken: string | null;
};

/** .stack/run/INSTANCE/system.json */
export type SystemFile = {
  instance: string;
  /** The process that has started it; it may have ended since. */
  startedBy?: ProcessIdentity;
  addresses: SystemAddresses;
  processes: ProcessRecord[];
};

/** The system that runs under this name: undefined when none was started or all of it has ended. */
export function findSystem(instance: string): (SystemFile & { complete: boolean }) | undefined {
  const file = readSystemFile(instance);
  if (file === undefined || !file.processes.some(isRunning)) return undefined;
  return { ...file, complete: file.processes.every(isRunning) };
}

/** Whether the process that has started this system lives. */
export function isSystemInUse(instance: string): boolean {
  const startedBy = readSystemFile(instance)?.startedBy;
  return startedBy !== undefined && isAlive(startedBy);
}

/** What `strangler` needs to work on a system's slices. */
export function operatorEnvironment(
  addresses: Pick<
    SystemAddresses,
    | 'databases'
    | 'accounts'
    | 'flagStore'
    | 'slicesFolder'
    | 'inventoryUrls'
    | 'notificationsUrls'
    | 'paymentsUrls'
    | 'ordersUrls'
  >,
): OperatorEnvironment {
  const { databases, accounts, flagStore, slicesFolder } = addresses;
  const { inventoryUrls, notificationsUrls, paymentsUrls, ordersUrls } = addresses;
  const { mover } = databases;
  return {
    STRANGLER_SOURCE: databases.mover.shopUrl,
    STRANGLER_TARGET: databases.mover.catalogUrl,
    ...(inventoryUrls.length > 0 ? { STRANGLER_TARGET_INVENTORY: mover.inventoryUrl } : {}),
    ...(notificationsUrls.length > 0 ? { STRANGLER_TARGET_NOTIFICATIONS: mover.notificationsUrl } : {}),
    ...(paymentsUrls.length > 0 ? { STRANGLER_TARGET_PAYMENTS: mover.paymentsUrl } : {}),
    ...(ordersUrls.length > 0 ? { STRANGLER_TARGET_ORDERS: mover.ordersUrl } : {}),
    STRANGLER_SLICES: slicesFolder,
    STRANGLER_FLAGS: flagStore,
    RABBITMQ_URL: accounts.rabbitmq.strangler,
    REDIS_URL: accounts.redis.strangler,
  };
}

const systemFilePath = (instance: string): string => join(stackHome().instance(instance), 'system.json');

export function readSystemFile(instance: string): SystemFile | undefined {
  try {
    return JSON.parse(readFileSync(systemFilePath(instance), 'utf8')) as SystemFile;
  } catch {
    return undefined;
  }
}

export function writeSystemFile(instance: string, file: SystemFile): void {
  writeWhole(systemFilePath(instance), `${JSON.stringify(file, undefined, 2)}\n`);
}

export function removeSystemFile(instance: string): void {
  rmSync(systemFilePath(instance), { force: true });
}
