import type { Log } from '@strangler/platform/log.ts';
import type { Redis } from '@strangler/platform/redis.ts';
import type { Registry } from 'prom-client';
import type { z } from 'zod';
import type { GatewayMetrics } from '../account/gateway-metrics.ts';
import type { RunningCache } from './cache/open-cache.ts';
import type { Policy } from './policy.ts';

/** What policies are given to work with. */
export type PolicyDeps = {
  /** Folder of the gateway file, from which paths in it are meant. */
  folder: string;
  /** Null where the proxy has no `REDIS_URL`. Opened when it is first asked for. */
  redis(): Redis | null;
  /** Null where the proxy has no `REDIS_URL`. Opened when it is first asked for, and shared by all policies. */
  cache(): RunningCache | null;
  /** How many proxy workers share what one Redis would count: here and now, this one's. */
  workers: number;
  metrics: GatewayMetrics;
  /** For what a kind counts of its own. */
  registry: Registry;
  log: Log;
  /** The slice that claims a request; null where none does. */
  sliceOf(method: string, path: string): string | null;
  /** Milliseconds that only grow. */
  nowMs(): number;
};

/** A kind of policy: what the gateway file may say of it, and how one is made of that. */
export type PolicyKind<S extends z.ZodObject = z.ZodObject> = {
  /** Without `kind`, which stands in every policy of the file. */
  schema: S;
  /** @throws Error in one line where a policy cannot be made of this, such as a file that is not there. */
  create(name: string, config: z.infer<S>, deps: PolicyDeps): Policy | Promise<Policy>;
};

/** Keeps schema and factory of one type. */
export const policyKind = <S extends z.ZodObject>(kind: PolicyKind<S>): PolicyKind<S> => kind;
