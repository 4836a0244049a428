import { connectionHeaders } from '@strangler/platform/http/http2/head.ts';
import { type Refusal, refuseAndClose } from './refusal.ts';
import type { RequestHead } from './request-head.ts';

/** How the end of a request's body is known. */
export type BodyFraming = { kind: 'none' } | { kind: 'sized'; bytes: number } | { kind: 'chunked' };

const noBody: BodyFraming = { kind: 'none' };
const chunkedBody: BodyFraming = { kind: 'chunked' };
const digits = /^[0-9]{1,15}$/;

const badFraming = (detail: string) => refuseAndClose('framing', 400, 'Ambiguous framing', detail);

/**
 * Says how the body ends, or refuses a request whose end two servers could see in two places (RFC 9112 §6.3).
 * Node's parser refuses most of these by itself; it lets through a coding before `chunked`, a coding in HTTP/1.0,
 * and versions that are neither 1.0 nor 1.1. The rest is checked again here so that no parser flag can open it.
 */
export function bodyFraming(head: RequestHead): BodyFraming | Refusal {
  if (head.http2 === null && head.httpVersion !== '1.1' && head.httpVersion !== '1.0') {
    return refuseAndClose('http-version', 505, 'HTTP version not supported', versionsTaken);
  }
  if (head.framingInDisguise) {
    return badFraming('Expected Content-Length and Transfer-Encoding to be written with `-`, found `_`.');
  }
  if (head.http2 !== null) return streamFraming(head, head.http2.endsWithHead);
  if (head.transferEncodings.length > 0) {
    if (head.contentLengths.length > 0) {
      return badFraming('Expected Content-Length or Transfer-Encoding, found both.');
    }
    if (head.httpVersion === '1.0') return badFraming('HTTP/1.0 has no Transfer-Encoding, found one.');
    if (head.transferEncodings.length > 1 || head.transferEncodings[0]!.toLowerCase() !== 'chunked') {
      return badFraming('Expected Transfer-Encoding to be exactly `chunked`, once.');
    }
    return chunkedBody;
  }
  if (head.contentLengths.length === 0) return noBody;
  return sizedBody(head);
}

const versionsTaken = 'Expected HTTP/1.1 or HTTP/1.0 on this port, or HTTP/2 where TLS has agreed on it.';

/**
 * In HTTP/2 the stream says where a body ends; Node checks that against Content-Length. Headers of HTTP/1.1's connections would be read
 * as framing by whoever gets the request next, so they are refused (RFC 9113 §8.2.2) and not dropped.
 */
function streamFraming(head: RequestHead, endsWithHead: boolean): BodyFraming | Refusal {
  for (let line = 0; line < head.names.length; line += 1) {
    const name = head.names[line]!;
    if (connectionHeaders.has(name)) return badFraming('Expected no header of an HTTP/1.1 connection, found one.');
    if (name === 'te' && head.raw[line * 2 + 1]!.toLowerCase() !== 'trailers')
      return badFraming('Expected TE to be `trailers` and nothing else.');
  }
  if (head.contentLengths.length > 0) return sizedBody(head);
  return endsWithHead ? noBody : chunkedBody;
}

function sizedBody(head: RequestHead): BodyFraming | Refusal {
  if (head.contentLengths.length > 1) return badFraming('Expected one Content-Length, found several.');
  const length = head.contentLengths[0]!;
  if (!digits.test(length)) return badFraming('Expected Content-Length to be at most 15 digits and nothing else.');
  return { kind: 'sized', bytes: Number(length) };
}
