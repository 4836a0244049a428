import { createHash } from 'node:crypto';
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import { nestsDeeperThan, parseExactJson } from './exact-json.ts';

export type ComparedBody =
  | { kind: 'none' }
  | { kind: 'json'; value: unknown }
  | { kind: 'text'; text: string }
  | { kind: 'bytes'; length: number; sha256: string }
  | { kind: 'skipped'; why: SkippedWhy };

/** Why a body was not looked at: over the bound, without an end, or in an encoding that cannot be read. */
export type SkippedWhy = 'too-large' | 'streamed' | 'undecodable';

/** What a side tells others of what it did: one domain event. */
export type TellableEvent = { type: string; key: string; payload: unknown };
export type Effects = { events: TellableEvent[] };

/** One side's answer to a request, as far as it is compared. */
export type ComparedAnswer = {
  status: number;
  /** As they came, in their order; names in any case. */
  headers: readonly (readonly [name: string, value: string])[];
  body: ComparedBody;
  latencyMs: number;
  /** null: the side did not tell. */
  effects: Effects | null;
};

export type BodyHead = { contentType?: string; contentEncoding?: string };

/** What a body may grow to when it is decoded, unless told. */
export const defaultDecodedBytes = 1024 * 1024;
/** A JSON body that nests deeper is compared as text: nobody writes rules for it. */
export const deepestJson = 100;

/**
 * Reads a body as it came over the wire: decoded (gzip, br, deflate, at most `maxDecodedBytes`), then as JSON, text or
 * bytes by its media type. Never throws: what cannot be read is `skipped`, or compared by its bytes.
 */
export const readBody = (
  { contentType, contentEncoding }: BodyHead,
  bytes: Buffer,
  maxDecodedBytes = defaultDecodedBytes,
): ComparedBody => {
  if (bytes.length === 0) return { kind: 'none' };
  let decoded = bytes;
  for (const encoding of encodingsOf(contentEncoding)) {
    const next = decode(encoding, decoded, maxDecodedBytes);
    if (typeof next === 'string') return { kind: 'skipped', why: next };
    decoded = next;
  }
  if (decoded.length > maxDecodedBytes) return { kind: 'skipped', why: 'too-large' };
  const form = formOf(contentType);
  if (form === 'bytes') return bytesBody(decoded);
  const text = decodeText(decoded);
  if (text === null) return bytesBody(decoded);
  if (form === 'json' && !nestsDeeperThan(text, deepestJson)) {
    const value = parseExactJson(text);
    if (value !== undefined) return { kind: 'json', value };
  }
  return { kind: 'text', text };
};

/** The last applied encoding first, as they are taken off; `identity` is none. */
const encodingsOf = (contentEncoding: string | undefined): string[] =>
  (contentEncoding ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
    .reverse();

const decode = (encoding: string, bytes: Buffer, maxOutputLength: number): Buffer | SkippedWhy => {
  try {
    switch (encoding) {
      case 'gzip':
      case 'x-gzip':
        return gunzipSync(bytes, { maxOutputLength });
      case 'br':
        return brotliDecompressSync(bytes, { maxOutputLength });
      case 'deflate':
        // zlib's format by RFC 9110, yet some servers send the bare stream: the first byte tells.
        return (bytes[0]! & 0x0f) === 8
          ? inflateSync(bytes, { maxOutputLength })
          : inflateRawSync(bytes, { maxOutputLength });
      default:
        return 'undecodable';
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'undecodable';
  }
};

const formOf = (contentType: string | undefined): 'json' | 'text' | 'bytes' => {
  const type = (contentType ?? '').split(';')[0]!.trim().toLowerCase();
  if (/^[^/]+\/(json|[^/]*\+json)$/.test(type)) return 'json';
  if (
    type.startsWith('text/') ||
    /^application\/(xml|javascript|x-www-form-urlencoded|[^/]*\+xml|graphql|yaml|x-ndjson)$/.test(type)
  ) {
    return 'text';
  }
  return 'bytes';
};

const decodeText = (bytes: Buffer): string | null => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
};

const bytesBody = (bytes: Buffer): ComparedBody => ({
  kind: 'bytes',
  length: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
});
