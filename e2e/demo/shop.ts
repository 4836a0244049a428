import { downStack, upStack } from '@strangler/stack/servers.ts';
import type { StartStage } from '@strangler/stack/system/stage.ts';
import { type ProcessHandle, type System, startSystem } from '@strangler/stack/system/system.ts';
import type { Progress } from './progress.ts';

/** The whole example, up and seeded, as a demo sees it. */
export type Shop = {
  system: System;
  proxyUrls: readonly string[];
  adminUrls: readonly string[];
  operatorToken: string;
  /** Address of the flag store. */
  flagStore: string;
  catalogInstances: readonly ProcessHandle[];
  close(): Promise<void>;
};

export type ShopOptions = {
  instance: string;
  products: number;
  /** What the catalogue is brought to before anybody comes; `shadow` unless told. */
  stage?: StartStage;
  /** Of these services; 0 unless told. */
  inventoryInstances?: number;
  notificationsInstances?: number;
  paymentsInstances?: number;
  ordersInstances?: number;
  /** 2 unless told. */
  workersPerProxy?: number;
  /** Default: migrations/slices. */
  slicesFolder?: string;
  /** Put over the environment of a process, by its name or kind. */
  env?: Record<string, Record<string, string>>;
  /** Leave everything running on `close`, and say where. */
  keep: boolean;
  progress: Progress;
  signal: AbortSignal;
};

/** A slow machine takes longer for a demo than the quarter of an hour after which people have to sign in again. */
const staySignedIn = { ACCESS_TOKEN_TTL: '4h' };

/** Brings up servers and processes from nothing; on failure or interruption nothing is left running. */
export const openShop = async (options: ShopOptions): Promise<Shop> => {
  const { instance, products, stage = 'shadow', keep, progress, signal } = options;
  let system: System;
  try {
    const stack = await upStack({ instance, log: progress.say, signal });
    system = await startSystem({
      ...{ instance, stack, seedSize: products, stage, fresh: true, log: progress.say, signal },
      inventoryInstances: options.inventoryInstances ?? 0,
      notificationsInstances: options.notificationsInstances ?? 0,
      paymentsInstances: options.paymentsInstances ?? 0,
      ordersInstances: options.ordersInstances ?? 0,
      ...(options.workersPerProxy === undefined ? {} : { workersPerProxy: options.workersPerProxy }),
      ...(options.slicesFolder === undefined ? {} : { slicesFolder: options.slicesFolder }),
      env: { ...options.env, monolith: { ...staySignedIn, ...options.env?.monolith } },
    });
  } catch (error) {
    await downStack(instance);
    throw error;
  }
  return {
    system,
    proxyUrls: system.proxyUrls,
    adminUrls: system.proxyAdminUrls,
    operatorToken: system.operatorToken,
    flagStore: system.flagStore,
    catalogInstances: system.processes.filter((process) => process.kind === 'catalog'),
    close: async () => {
      if (keep) {
        progress.say(
          `left running: shop at ${system.proxyUrls.join(' and ')}, Consul at ${system.addresses.stack.consulUrl}`,
        );
        progress.say(`take it down with STACK_INSTANCE=${instance} npm stop`);
        return;
      }
      await system.stop();
      await downStack(instance);
      progress.say('everything is taken down');
    },
  };
};
