import type { IncomingMessage } from 'node:http';

/** How much of an unwanted body is still read, and for how long, before the connection is cut. */
export type LingerBounds = { maxBytes: number; maxMs: number };

const lingering = Symbol('lingering');

export const defaultLinger: LingerBounds = { maxBytes: 8 * 1024 ** 2, maxMs: 3_000 };

/**
 * Reads and drops what is left of a body that nobody wants, so that its sender comes to read the answer and the
 * connection can be used again. Closing at once would reset the connection, and the answer would be lost with it.
 */
export function lingerOverBody(req: IncomingMessage, bounds: LingerBounds = defaultLinger): void {
  const marked = req as IncomingMessage & { [lingering]?: true };
  if (req.complete || req.destroyed || marked[lingering] === true) return;
  marked[lingering] = true;
  let bytes = 0;
  const cut = () => req.socket.destroy();
  const timer = setTimeout(cut, bounds.maxMs);
  timer.unref();
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bounds.maxBytes) cut();
  });
  req.once('close', () => clearTimeout(timer));
  req.once('end', () => clearTimeout(timer));
  req.resume();
}
