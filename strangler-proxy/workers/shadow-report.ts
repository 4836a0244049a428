import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import type { Redis } from '@strangler/platform/redis.ts';
import type { Finding } from '../shadow/shadow.ts';

export type ReportOptions = {
  /** Null: nothing is kept. */
  redis: Redis | null;
  rulesOf(slice: string, endpoint: string): CompareRules;
  onLost(count: number): void;
};

export type OpenReport = { tell(finding: Finding): void; close(): Promise<void> };

export const openReport = (_options: ReportOptions): OpenReport => ({ tell: () => {}, close: async () => {} });
