import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { Problem } from './problem.ts';

/** An answer has this long to reach a client that is still sending, before the connection is cut. */
const lingerMs = 500;

/**
 * Answers what Node could not read as a request: 431 for headers that are too large, 408 for a request that was too
 * slow, 400 for the rest. `pending` are the answers still owed on this connection: those that came before are given
 * first, and when one has begun that belongs to the broken request, the connection is cut.
 * Returns the status answered with, undefined when nothing could be written.
 */
export function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  pending: readonly ServerResponse[],
): 400 | 408 | 431 | undefined {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return undefined;
  }
  const answer = answerTo(error);
  const own = pending.filter((res) => !res.req.complete);
  if (own.some((res) => res.headersSent)) {
    socket.destroy();
    return undefined;
  }
  const earlier = pending.filter((res) => res.req.complete && !res.writableFinished);
  let waiting = earlier.length;
  if (waiting === 0) write(socket, answer);
  for (const res of earlier) {
    res.once('close', () => {
      waiting -= 1;
      if (waiting === 0) write(socket, answer);
    });
  }
  return answer.status as 400 | 408 | 431;
}

function answerTo(error: NodeJS.ErrnoException): Problem {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem({ status: 431, detail: 'The headers are larger than this server takes.' });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem({ status: 408, detail: 'The request did not arrive in time.' });
    default:
      return new Problem({ status: 400, detail: 'This is not a well-formed HTTP/1.1 request.' });
  }
}

function write(socket: Duplex, problem: Problem): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(problem);
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
      `date: ${new Date().toUTCString()}`,
      'content-type: application/problem+json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  // Closing while the client still sends resets the connection, and the answer may be lost with it.
  socket.resume();
  const cut = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(cut));
}
