import type { GrpcCallers } from '@strangler/platform/service-trust/judge.ts';

/** Which services may call what here. Users come with tokens of their own. */
export const callers = {
  grpc: { Inventory: { '*': ['shop', 'orders'] } } satisfies GrpcCallers,
  dryRuns: ['proxy', 'operator'],
} as const;
