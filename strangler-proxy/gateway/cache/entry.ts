import { z } from 'zod';
import type { StoredAnswer } from './answer.ts';

/** A kept answer and the generations that it was made under. */
export type Entry = { stamp: string; answer: StoredAnswer };

const seconds = z.number().nullable();
const pair = z.tuple([z.string(), z.string()]);
const headSchema = z.object({
  v: z.literal(1),
  stamp: z.string(),
  status: z.number().int(),
  headers: z.array(pair),
  requestedAtMs: z.number(),
  receivedAtMs: z.number(),
  selectedBy: z.array(z.tuple([z.string(), z.string().nullable()])),
  fallback: z.object({ freshS: seconds, staleWhileRevalidateS: seconds, staleIfErrorS: seconds }),
});

/** A line of JSON, then the body as text of Base64, so that no client of Redis mistakes its bytes. */
export function encodeEntry({ stamp, answer }: Entry): string {
  const { body, ...head } = answer;
  return `${JSON.stringify({ v: 1, stamp, ...head })}\n${body.toString('base64')}`;
}

/** Undefined for a text that is not an entry, or one of another version. */
export function decodeEntry(text: string | null | undefined): Entry | undefined {
  if (text === null || text === undefined) return undefined;
  const end = text.indexOf('\n');
  if (end === -1) return undefined;
  try {
    const { v: _, stamp, ...head } = headSchema.parse(JSON.parse(text.slice(0, end)));
    return { stamp, answer: { ...head, body: Buffer.from(text.slice(end + 1), 'base64') } };
  } catch {
    return undefined;
  }
}
