import type { GrpcCallers } from '@strangler/platform/service-trust/judge.ts';

/** Which services may call what here. Users come with tokens of their own. */
export const callers = {
  grpc: { Catalog: { '*': ['shop', 'orders'] } } satisfies GrpcCallers,
  products: ['shop', 'orders'],
  priceRules: ['shop'],
  dryRuns: ['proxy', 'operator'],
} as const;
