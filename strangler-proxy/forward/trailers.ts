import type { OutgoingMessage } from 'node:http';
import { serviceTokenHeader, stranglerHeaderPrefix } from '@strangler/platform/contracts/headers.ts';
import { identityHeaderNames, identityHeaderPrefix } from '../accept/client-identity.ts';
import { hopByHopNames } from '../accept/hop-by-hop.ts';
import { canonicalName } from '../accept/request-head.ts';

/** RFC 9110 §6.5.1: what frames, routes or authenticates a message must not come after it. */
const neverInTrailers: ReadonlySet<string> = new Set([
  'content-length',
  'host',
  'trailer',
  'authorization',
  'cookie',
  'set-cookie',
  'content-type',
  'content-encoding',
  'content-range',
  'x-request-id',
  'traceparent',
  'tracestate',
]);

/** Passes the trailers of a message that has been read to its end on to the message it is copied to. */
export function copyTrailers(from: { rawTrailers: readonly string[] }, to: OutgoingMessage): void {
  const { rawTrailers } = from;
  if (rawTrailers.length === 0) return;
  const trailers: [string, string][] = [];
  for (let i = 0; i < rawTrailers.length; i += 2) {
    const name = canonicalName(rawTrailers[i]!.toLowerCase());
    if (neverInTrailers.has(name) || hopByHopNames.has(name) || identityHeaderNames.has(name)) continue;
    if (name === serviceTokenHeader || name.startsWith(stranglerHeaderPrefix) || name.startsWith(identityHeaderPrefix))
      continue;
    trailers.push([rawTrailers[i]!, rawTrailers[i + 1]!]);
  }
  to.addTrailers(trailers);
}
