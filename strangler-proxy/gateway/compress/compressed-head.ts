import type { Coding } from './negotiate.ts';

/** What the answer to one request would be compressed as, and whether it may be. */
export type CompressRules = {
  /** Content types, lower case: `text/*`, `application/json`, `*+json`. */
  types: readonly string[];
  /** A smaller body stays as it is. */
  minBytes: number;
};

export type AskedHow = { method: string; range: boolean; noTransform: boolean; coding: Coding | null };

/** The head that is sent, and whether the body is compressed. `streamed`: nobody knows how long the body will be. */
export type CompressedHead = { rawHeaders: readonly string[]; body: 'compress' | 'as it is'; streamed: boolean };

/**
 * Decides about one answer. Never touched: an answer without a body, a part, a stream of events, what is encoded already, and
 * what must not be transformed. Where the type is one that is compressed, `Vary` says so also of answers that are not.
 */
export function compressedHead(
  head: { status: number; rawHeaders: readonly string[] },
  asked: AskedHow,
  rules: CompressRules,
): CompressedHead {
  const { status, rawHeaders } = head;
  const asItIs: CompressedHead = { rawHeaders, body: 'as it is', streamed: false };
  const said = (name: string): string | undefined => headerIn(rawHeaders, name);
  if (
    asked.range ||
    asked.noTransform ||
    status < 200 ||
    status === 204 ||
    status === 205 ||
    status === 206 ||
    status === 304
  )
    return asItIs;
  if (said('content-range') !== undefined || /(?:^|[,\s])no-transform\s*(?:,|$)/i.test(said('cache-control') ?? ''))
    return asItIs;
  if (!isCompressible(said('content-type'), rules.types)) return asItIs;
  const encoding = said('content-encoding')?.trim().toLowerCase();
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity') return asItIs;
  const length = said('content-length');
  if (length !== undefined && Number(length) < rules.minBytes) return asItIs;
  const varied = withVary(rawHeaders);
  if (asked.coding === null) return { ...asItIs, rawHeaders: varied };
  const changed: string[] = [];
  for (let at = 0; at < varied.length; at += 2) {
    const name = varied[at]!.toLowerCase();
    if (ofTheOldBody.has(name)) continue;
    changed.push(varied[at]!, name === 'etag' ? weak(varied[at + 1]!) : varied[at + 1]!);
  }
  changed.push('Content-Encoding', asked.coding);
  // A HEAD is told what a GET would be.
  const body = asked.method === 'HEAD' ? 'as it is' : 'compress';
  return { rawHeaders: changed, body, streamed: length === undefined };
}

/** Headers that tell of the very bytes of the body, or of parts of it. */
const ofTheOldBody: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'accept-ranges',
  'content-md5',
  'content-digest',
  'digest',
]);

const weak = (tag: string): string => (tag.startsWith('W/') ? tag : `W/${tag}`);

export function headerIn(rawHeaders: readonly string[], name: string): string | undefined {
  let joined: string | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]!.toLowerCase() !== name) continue;
    joined = joined === undefined ? rawHeaders[at + 1]! : `${joined}, ${rawHeaders[at + 1]}`;
  }
  return joined;
}

function withVary(rawHeaders: readonly string[]): readonly string[] {
  const names = (headerIn(rawHeaders, 'vary') ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  return names.includes('*') || names.includes('accept-encoding')
    ? rawHeaders
    : [...rawHeaders, 'Vary', 'Accept-Encoding'];
}

export function isCompressible(contentType: string | undefined, types: readonly string[]): boolean {
  const type = (contentType ?? '').split(';')[0]!.trim().toLowerCase();
  if (type === '' || type === 'text/event-stream') return false;
  return types.some((one) => {
    if (one.endsWith('/*')) return type.startsWith(one.slice(0, -1));
    return one.startsWith('*+') ? type.endsWith(one.slice(1)) : type === one;
  });
}
