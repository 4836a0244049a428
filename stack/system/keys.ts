import { type KeyFolder, openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';

const services = ['catalog', 'inventory', 'payments', 'notifications', 'orders'];

/** Who calls whom in the example system. `operator` is a person with the command line, `proxy` asks for dry runs. */
export const serviceCalls = {
  shop: ['catalog', 'inventory', 'payments'],
  orders: ['catalog', 'inventory', 'payments'],
  proxy: services,
  operator: services,
} as const satisfies Record<string, readonly string[]>;
export type CallingService = keyof typeof serviceCalls;

/** Makes the keys that are not there yet. Those that are there stay: processes may be using them. */
export async function makeKeys(
  folder: string,
  callers: readonly CallingService[] = Object.keys(serviceCalls) as CallingService[],
): Promise<KeyFolder> {
  const keys = openKeyFolder(folder);
  for (const caller of callers) await keys.init(caller, serviceCalls[caller]);
  return keys;
}
