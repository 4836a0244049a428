import type { CacheRequest, StoredAnswer } from './answer.ts';
import { type CacheStatus, formatCacheStatus } from './cache-status.ts';
import { currentAgeS } from './freshness.ts';
import { clientHasIt, headersOf304 } from './validators.ts';

/** What the cache sends; header names and values in turn. */
export type CacheAnswer = { head: { status: number; rawHeaders: readonly string[] }; body: Buffer | null };

/** A kept answer as it is sent now: 304 where the client has it already. */
export function keptAnswer(
  request: CacheRequest,
  answer: StoredAnswer,
  status: CacheStatus,
  nowMs: number,
): CacheAnswer {
  const age: [string, string] = ['Age', `${Math.floor(currentAgeS(answer, nowMs))}`];
  const hasIt = clientHasIt(request, answer);
  const hasBody = !hasIt && answer.status !== 204;
  const headers = (hasIt ? headersOf304(answer.headers) : answer.headers).filter(
    ([name]) => !saidAnew.has(name.toLowerCase()),
  );
  const rawHeaders = [...headers.flat(), ...age, 'Cache-Status', formatCacheStatus(status)];
  if (hasBody) rawHeaders.push('Content-Length', `${answer.body.length}`);
  return { head: { status: hasIt ? 304 : answer.status, rawHeaders }, body: hasBody ? answer.body : null };
}

const saidAnew: ReadonlySet<string> = new Set(['age', 'content-length']);
