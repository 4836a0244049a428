import type { KvEntry } from '@strangler/platform/consul/kv.ts';
import {
  type HoldAck,
  holdAckSchema,
  holdKeys,
  type LiveProxy,
  liveProxySchema,
} from '@strangler/platform/contracts/hold-ack.ts';
import { proxyServiceName } from '@strangler/platform/contracts/proxy-status.ts';
import type { z } from 'zod';
import type { CutoverWork } from './cutover-work.ts';
import type { Kept, ProxiesSeen } from './hold-progress.ts';

const lookTimeoutMs = 2_000;

/** Looks, consistently, at the proxies that are alive and at what they have acknowledged of a slice's hold. */
export async function seeProxies(
  { consul, proxyService = proxyServiceName }: Pick<CutoverWork, 'consul' | 'proxyService'>,
  slice: string,
): Promise<ProxiesSeen> {
  const { client, root } = consul;
  const keys = holdKeys(root);
  const read = { consistent: true, timeoutMs: lookTimeoutMs };
  const registered = await registeredProxies({ consul }, proxyService);
  // The living come last: whoever has ended meanwhile has an acknowledgement too many, and none too few.
  const acks = await client.kv.list(keys.acks(slice), read);
  const live = await client.kv.list(keys.proxies, read);
  return {
    live: keptOf<LiveProxy>(live, keys.proxies, liveProxySchema),
    acks: keptOf<HoldAck>(acks, keys.acks(slice), holdAckSchema),
    registered,
  };
}

type WireInstance = { Service: { ID: string; Meta?: Record<string, string> | null }; Checks?: { Status: string }[] };

/** Proxies of these flags that are registered, but for those that Consul finds down: they answer nobody. */
async function registeredProxies({ consul }: Pick<CutoverWork, 'consul'>, service: string): Promise<string[]> {
  const found: unknown = await consul.client.connection.call(
    `list ${service}`,
    'read',
    (client, wire) => client.health.service({ service, ...wire }),
    { timeoutMs: lookTimeoutMs },
  );
  return (found as WireInstance[])
    .filter(({ Service }) => (Service.Meta?.root ?? consul.root) === consul.root)
    .filter(({ Checks }) => !(Checks ?? []).some(({ Status }) => Status === 'critical'))
    .map(({ Service }) => Service.ID);
}

const keptOf = <T>(entries: ReadonlyMap<string, KvEntry>, prefix: string, schema: z.ZodType<T>): Map<string, Kept<T>> =>
  new Map(
    [...entries].map(([key, { value, session }]) => [
      key.slice(prefix.length),
      { value: parse(schema, value), session: session ?? null },
    ]),
  );

const parse = <T>(schema: z.ZodType<T>, text: string): T | null => {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return null;
  }
};
