import type { Representation } from '../http/representation.ts';

/** An answer in the cache. `value` undefined: there is no such thing. */
export type Entry = {
  /** The generations that it was made under. */
  stamp: string;
  /** Until then (ms since 1970) it is served without being built anew. */
  freshUntilMs: number;
  value: Representation | undefined;
};

type Head = { s: string; f: number; t?: string; m?: number };

/** A line of JSON, then the body as it is sent: it is never parsed. */
export function encodeEntry({ stamp, freshUntilMs, value }: Entry): string {
  const head: Head = { s: stamp, f: freshUntilMs };
  if (value === undefined) return JSON.stringify(head);
  head.t = value.entityTag;
  if (value.lastModified) head.m = value.lastModified.getTime();
  return `${JSON.stringify(head)}\n${value.body}`;
}

/** Undefined for a text that is not an entry. */
export function decodeEntry(text: string | null | undefined): Entry | undefined {
  if (text === null || text === undefined) return undefined;
  const end = text.indexOf('\n');
  try {
    const head = JSON.parse(end === -1 ? text : text.slice(0, end)) as Head;
    if (typeof head.s !== 'string' || typeof head.f !== 'number') return undefined;
    const entry = { stamp: head.s, freshUntilMs: head.f };
    if (end === -1 || head.t === undefined) return { ...entry, value: undefined };
    const value: Representation = { body: text.slice(end + 1), entityTag: head.t };
    if (head.m !== undefined) value.lastModified = new Date(head.m);
    return { ...entry, value };
  } catch {
    return undefined;
  }
}
