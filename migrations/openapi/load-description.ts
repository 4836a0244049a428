import { open } from 'node:fs/promises';
import type { ApiOperation } from './operation.ts';
import { ApiDescriptionError } from './place.ts';
import { readApiDescription } from './read-description.ts';

export type LoadBounds = { timeoutMs: number; maxBytes: number };

export const defaultLoad: LoadBounds = { timeoutMs: 15_000, maxBytes: 16 * 1024 * 1024 };

/** Reads an OpenAPI description from a file or an address of HTTP. @throws ApiDescriptionError */
export const loadApiDescription = async (
  from: string,
  { timeoutMs, maxBytes }: LoadBounds = defaultLoad,
): Promise<ApiOperation[]> => {
  const isAddress = /^https?:\/\//.test(from);
  const bytes = await (isAddress ? fetched(from, timeoutMs, maxBytes) : readFrom(from, maxBytes)).catch(
    (cause: Error) => {
      throw new ApiDescriptionError(
        `${from}: expected an OpenAPI description, found ${whyNot(cause)}; name another ${isAddress ? 'address' : 'file'}, or mend that one`,
        { cause },
      );
    },
  );
  return readApiDescription(bytes.toString('utf8'), from);
};

const readFrom = async (file: string, maxBytes: number): Promise<Buffer> => {
  const handle = await open(file);
  try {
    return await bounded(handle.createReadStream(), maxBytes);
  } finally {
    await handle.close();
  }
};

const fetched = async (address: string, timeoutMs: number, maxBytes: number): Promise<Buffer> => {
  // The time-out covers the body too.
  const answer = await fetch(address, { signal: AbortSignal.timeout(timeoutMs) });
  if (!answer.ok) {
    await answer.body?.cancel();
    throw new Error(`an answer ${answer.status}`);
  }
  return answer.body === null ? Buffer.alloc(0) : await bounded(answer.body, maxBytes);
};

const bounded = async (stream: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> => {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

/** `fetch` keeps the reason in the cause. */
const whyNot = (error: NodeJS.ErrnoException): string => {
  if (error.name === 'TimeoutError') return 'no whole answer in time';
  const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException;
  return code ?? message;
};
