import type { Kv } from '@strangler/platform/consul/kv.ts';
import { type CanaryStanding, canaryKeys, parseCanaryStanding } from '@strangler/platform/contracts/canary.ts';

/** Where a slice's canary stands, as the proxy that steers it has said last; null where none has, or none that can be read. */
export const readCanaryStanding = async (
  kv: Pick<Kv, 'get'>,
  root: string,
  slice: string,
): Promise<CanaryStanding | null> => {
  const entry = await kv.get(canaryKeys(root).standing(slice));
  return entry === undefined ? null : parseCanaryStanding(entry.value);
};
