import { cache } from './cache/cache-policy.ts';
import type { PolicyKind } from './kind.ts';
import { ip } from './policies/ip.ts';

/** Every kind of policy, by the word that stands after `kind:` in the gateway file. */
export const kinds = {
  cache,
  ip,
} as const satisfies Record<string, { schema: PolicyKind['schema'] }>;

export type KindName = keyof typeof kinds;
