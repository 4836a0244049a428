import { PassThrough, type Readable } from 'node:stream';
import type { HeaderLines } from './answer.ts';

/** A body that is kept while it goes by. */
export type Collected = {
  /** What goes to the client; bytes within the bound are read ahead of it, however slowly it reads. */
  body: Readable;
  /** Reads it to its end for nobody. */
  drain(): Promise<void>;
};

/**
 * Reads a body to its end up to a bound, also where its client goes away meanwhile, and tells it as a whole: null where it is
 * larger or breaks off. Beyond the bound the client alone sets the pace, and its going ends the answer.
 */
export function collect(source: Readable, maxBytes: number, told: (body: Buffer | null) => void): Collected {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isTold = false;
  const tell = (body: Buffer | null): void => {
    if (isTold) return;
    isTold = true;
    chunks.length = 0;
    told(body);
  };
  const out = new PassThrough({ highWaterMark: maxBytes });
  let outGone = false;

  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (!isTold) {
      if (bytes > maxBytes) tell(null);
      else chunks.push(chunk);
    }
    if (outGone) {
      if (isTold) source.destroy();
      return;
    }
    if (!out.write(chunk) && isTold) {
      source.pause();
      out.once('drain', () => source.resume());
    }
  });
  source.on('end', () => {
    const whole = isTold ? null : Buffer.concat(chunks);
    tell(whole);
    out.end();
  });
  source.on('error', (error) => {
    tell(null);
    out.destroy(error);
  });
  source.on('close', () => {
    tell(null);
    if (!out.writableEnded) out.destroy(new Error('the answer broke off'));
  });
  out.on('close', () => {
    outGone = true;
    if (isTold && !source.destroyed && !source.readableEnded) source.destroy();
  });
  // Its reader hears of it too, where there is one.
  out.on('error', () => {});

  return {
    body: out,
    drain: () =>
      new Promise((resolve) => {
        out.once('close', resolve);
        out.resume();
      }),
  };
}

export const pairsOf = (rawHeaders: readonly string[]): HeaderLines =>
  Array.from({ length: rawHeaders.length >> 1 }, (_, at) => [rawHeaders[at * 2]!, rawHeaders[at * 2 + 1]!] as const);
