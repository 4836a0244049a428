import type { BodyFraming } from './framing.ts';
import { type Refusal, refuse, refuseAndClose } from './refusal.ts';
import type { RequestHead } from './request-head.ts';

/** Bounds on what one request may bring, and on how many may be under way. */
export type Limits = {
  /** All header lines together, in bytes; the server's `maxHeaderSize` bounds what is read at all. */
  maxHeaderBytes: number;
  maxHeaderCount: number;
  /** Length of the request target in bytes. */
  maxTargetBytes: number;
  /** Length of a request body in bytes, declared or counted as it streams. */
  maxBodyBytes: number;
  maxRequestsInFlight: number;
};

export const defaultLimits: Limits = {
  maxHeaderBytes: 16 * 1024,
  maxHeaderCount: 200,
  maxTargetBytes: 8 * 1024,
  maxBodyBytes: 2 * 1024 ** 3,
  maxRequestsInFlight: 4096,
};

/** Node's parser drops header lines beyond this many without a word, so a higher limit could not be kept. */
export const mostHeadersNodeReports = 1999;

/** Refuses a head that is larger than the limits. */
export function headSizeRefusal(head: RequestHead, limits: Limits): Refusal | null {
  if (head.target.length > limits.maxTargetBytes) {
    return refuseAndClose(
      'target-size',
      414,
      'URI too long',
      `Expected a request target of at most ${limits.maxTargetBytes} bytes, found ${head.target.length}.`,
    );
  }
  if (head.names.length > Math.min(limits.maxHeaderCount, mostHeadersNodeReports)) {
    return refuseAndClose(
      'header-count',
      431,
      'Request header fields too large',
      `Expected at most ${limits.maxHeaderCount} header lines, found ${head.names.length}.`,
    );
  }
  if (head.headerBytes > limits.maxHeaderBytes) {
    return refuseAndClose(
      'header-size',
      431,
      'Request header fields too large',
      `Expected headers of at most ${limits.maxHeaderBytes} bytes, found ${head.headerBytes}.`,
    );
  }
  return null;
}

/** Refuses a body that declares itself too large, before a byte of it is read. */
export function declaredBodyRefusal(body: BodyFraming, limits: Limits): Refusal | null {
  return body.kind === 'sized' && body.bytes > limits.maxBodyBytes ? bodyTooLarge(limits) : null;
}

/** The refusal of a body larger than the limit, whether declared or counted. */
export function bodyTooLarge(limits: Pick<Limits, 'maxBodyBytes'>): Refusal {
  return refuse('body-size', 413, 'Content too large', `Expected a body of at most ${limits.maxBodyBytes} bytes.`);
}

/** The refusal of a request beyond the number that may be under way at once. */
export function tooManyInFlight(limits: Limits): Refusal {
  return refuse(
    'in-flight',
    503,
    'Too many requests in flight',
    `${limits.maxRequestsInFlight} requests are under way; try again shortly.`,
    { 'Retry-After': '1' },
  );
}
