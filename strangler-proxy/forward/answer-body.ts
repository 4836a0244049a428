import type { ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { Tap } from '../shadow/tap.ts';
import { AnswerTooLargeError } from './answer-filter.ts';
import type { ForwardError } from './forwarder.ts';

const noBytes = Buffer.alloc(0);
const mostBytesAsString = 16 * 1024;

/** Sends an answer's body that is all here, with its head. */
export function sendWholeBody(body: Buffer | null, res: ServerResponse): void {
  if (body === null) res.end();
  // As a string it goes out with its head in one write; latin1 is a character a byte.
  else if (body.length <= mostBytesAsString) res.end(body.toString('latin1'), 'latin1');
  else res.end(body);
}

/** Sends an answer's body as it comes, its head at once, though no more may follow for long. */
export function sendBodyAsItComes(
  body: Readable,
  res: ServerResponse,
  tap: Tap | null,
  through: readonly Duplex[],
  fail: (error: ForwardError, detail: string) => void,
): void {
  let from: Readable = body;
  for (const one of through) {
    one.on('error', (error) => fail(filterError(error) ?? 'upstream-body-broken', error.message));
    from = from.pipe(one);
  }
  from.pipe(res);
  // Only listens along: the pipe alone says when to go on.
  if (tap !== null) body.on('data', (chunk: Buffer) => tap.answerBytes(chunk));
  // An empty write sends the head, in one packet with what is read in this tick. `flushHeaders` would send it apart, and
  // bytes beyond ASCII in it as UTF-8.
  res.write(noBytes);
}

/** An answer that cannot be finished must not look finished. */
export function breakAnswer(res: ServerResponse): void {
  if (res.writableFinished) return;
  const endsWithConnection = !res.chunkedEncoding && !res.hasHeader('content-length');
  if (endsWithConnection && res.socket !== null) res.socket.resetAndDestroy();
  else res.destroy();
}

/** Where it was a policy that would not have the answer. */
export const filterError = (error: Error): ForwardError | null =>
  error instanceof AnswerTooLargeError ? 'upstream-answer-too-large' : null;
