import { tellEffectsHeader } from '@strangler/platform/contracts/dry-run.ts';
import { epochHeader, shadowHeader } from '@strangler/platform/contracts/headers.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { RepeatedRequest } from './ask.ts';

/** What frames a request, or is said to the one instance that serves it. */
const notRepeated: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  tellEffectsHeader,
  epochHeader,
]);

/**
 * The same request once more, from a body that was copied: who sends it is known to the other side as it was to the first,
 * its tokens and cookies included, and a header says that no user waits for the answer.
 */
export const repeatRequest = (
  { method, target, headers, body: framing }: Pick<OutgoingRequest, 'method' | 'target' | 'headers' | 'body'>,
  body: Buffer,
  more: Readonly<Record<string, string>> = {},
): RepeatedRequest => {
  const repeated: Record<string, string | string[]> = {};
  for (const name in headers) if (!notRepeated.has(name.toLowerCase())) repeated[name] = headers[name]!;
  if (framing.kind !== 'none') repeated['Content-Length'] = `${body.length}`;
  repeated[shadowHeader] = '1';
  return {
    method,
    target,
    headers: Object.assign(repeated, more),
    body: framing.kind === 'none' || body.length === 0 ? null : body,
  };
};
