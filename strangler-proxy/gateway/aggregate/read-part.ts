import type { Readable } from 'node:stream';
import type { AskAnother } from '../policy.ts';
import { atPointer, type PartResult } from './join-parts.ts';

export type PartBounds = { timeoutMs: number; maxBytes: number; pointer: string };

/** Asks for one part and reads its value, within its time and its size. */
export async function readPart(
  ask: AskAnother,
  asked: Parameters<AskAnother>[0],
  { timeoutMs, maxBytes, pointer }: PartBounds,
): Promise<PartResult> {
  const late = new AbortController();
  const gone = asked.signal === undefined ? [] : [asked.signal];
  const timer = setTimeout(() => late.abort(), timeoutMs);
  const missing = (why: Extract<PartResult, { kind: 'missing' }>['why'], status: number | null = null): PartResult => ({
    kind: 'missing',
    why: late.signal.aborted ? 'late' : why,
    status,
  });
  try {
    const answer = await ask({ ...asked, signal: AbortSignal.any([late.signal, ...gone]) });
    if (answer.kind === 'failed') return missing('failed');
    if (answer.kind === 'refused') {
      const { status, headers } = answer.refusal;
      return { kind: 'missing', why: 'refused', status, headers };
    }
    const { status } = answer.head;
    if (status < 200 || status > 299) {
      answer.body.destroy();
      return missing('status', status);
    }
    const text = await readText(answer.body, maxBytes);
    if (text === 'too-large' || text === 'broken') return missing(text === 'broken' ? 'failed' : text, status);
    let value: unknown;
    try {
      value = JSON.parse(text.text);
    } catch {
      return missing('not-json', status);
    }
    const found = atPointer(value, pointer);
    return found === undefined ? missing('no-such-value', status) : { kind: 'value', value: found };
  } finally {
    clearTimeout(timer);
  }
}

async function readText(body: Readable, maxBytes: number): Promise<{ text: string } | 'too-large' | 'broken'> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) return 'too-large';
      chunks.push(chunk);
    }
  } catch {
    return 'broken';
  }
  return { text: Buffer.concat(chunks).toString('utf8') };
}
