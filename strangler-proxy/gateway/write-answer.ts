import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { lingerOverBody } from '../accept/linger.ts';
import type { AnswerFilter } from '../forward/answer-filter.ts';
import type { Interception } from './policy.ts';

/** How an answer that no upstream gave was sent: whole, to nobody any more, or broken off. */
export type Written = 'answered' | 'client-aborted' | 'broken';

/**
 * Sends an interceptor's answer to the client through the filters that stand before it, body and all. A client that reads nothing
 * of what is there for it for `clientIdleTimeoutMs` is cut off.
 */
export const writeAnswer = async (
  req: IncomingMessage,
  res: ServerResponse,
  { head, body }: Extract<Interception, { kind: 'answer' }>,
  filter: AnswerFilter | null,
  clientIdleTimeoutMs = 60_000,
): Promise<Written> => {
  const { status } = head;
  const { rawHeaders, through } = filter?.(head) ?? { rawHeaders: head.rawHeaders, through: [] };
  // The client may have gone while the answer was being made.
  if (res.destroyed) {
    if (body instanceof Readable) body.destroy();
    for (const one of through) one.destroy();
    return 'client-aborted';
  }
  res.sendDate = !rawHeaders.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'date');
  if (res.shouldKeepAlive && req.httpVersion !== '1.0') res.removeHeader('connection');
  res.writeHead(status, rawHeaders as string[]);
  lingerOverBody(req);
  const hasNoBody = body === null || req.method === 'HEAD' || status === 204 || status === 304;
  const watching = cutOffWhenStalled(res, clientIdleTimeoutMs);
  try {
    if (hasNoBody) {
      if (body instanceof Readable) body.destroy();
      for (const one of through) one.destroy();
      res.end();
      await finished(res);
    } else if (through.length === 0 && !(body instanceof Readable)) {
      res.end(body);
      await finished(res);
    } else {
      const from = body instanceof Readable ? body : Readable.from([body]);
      await pipeline([from, ...through, res]);
    }
    return 'answered';
  } catch {
    const clientGone = req.socket.destroyed && !(body instanceof Readable && body.errored !== null);
    res.destroy();
    return clientGone ? 'client-aborted' : 'broken';
  } finally {
    watching.stop();
  }
};

/** What an upstream has not sent yet is not waited for by anybody here: only bytes that the client does not take count. */
const cutOffWhenStalled = (res: ServerResponse, idleMs: number): { stop(): void } => {
  let sent = -1;
  let movedMs = performance.now();
  const timer = setInterval(
    () => {
      const { socket } = res;
      const now = performance.now();
      const pending = res.writableLength + (socket?.writableLength ?? 0) > 0;
      const bytes = socket === null ? sent : socket.bytesWritten - socket.writableLength;
      if (!pending || bytes !== sent) {
        sent = bytes;
        movedMs = now;
      } else if (now - movedMs > idleMs) res.destroy();
    },
    Math.min(1_000, idleMs / 4),
  );
  timer.unref();
  return { stop: () => clearInterval(timer) };
};
