import { Problem } from '@strangler/platform/http/problem.ts';
import type { OwnAnswer } from '../answer-problem.ts';
import type { Interception } from './policy.ts';

/** A problem detail (RFC 9457) as an interceptor answers with it. */
export function problemAnswer({
  status,
  title,
  detail,
  headers,
}: OwnAnswer): Extract<Interception, { kind: 'answer' }> {
  const body = Buffer.from(JSON.stringify(new Problem({ status, title, detail })));
  const rawHeaders = ['Content-Type', 'application/problem+json', 'Content-Length', `${body.length}`];
  return { kind: 'answer', head: { status, rawHeaders: [...rawHeaders, ...Object.entries(headers).flat()] }, body };
}
