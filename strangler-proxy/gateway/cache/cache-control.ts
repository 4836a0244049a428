/** Directives of a `Cache-Control` header (RFC 9111 §5.2): names in lower case; null where a directive has no argument. */
export type CacheDirectives = ReadonlyMap<string, string | null>;

const none: CacheDirectives = new Map();

/** One directive and what follows it up to the next comma; an argument is a token or a quoted text. */
const directive = /\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]*)))?[^,]*(?:,|$)/y;

/**
 * Reads `Cache-Control`, several lines joined by commas. What cannot be read is passed over. A directive that is there twice
 * counts with the argument that allows less: the smaller number, or none at all.
 */
export function parseCacheControl(header: string | undefined): CacheDirectives {
  if (header === undefined || header.trim() === '') return none;
  const found = new Map<string, string | null>();
  let at = 0;
  while (at < header.length) {
    directive.lastIndex = at;
    const match = directive.exec(header);
    if (match === null || match[0] === '') {
      const comma = header.indexOf(',', at);
      if (comma === -1) break;
      at = comma + 1;
      continue;
    }
    at = directive.lastIndex;
    const name = match[1]!.toLowerCase();
    const value = match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? null;
    const before = found.get(name);
    found.set(name, before === undefined ? value : stricter(before, value));
  }
  return found;
}

/** No number of seconds, and not the absence of one either, which `max-stale` takes for any. */
const unreadable = '';

function stricter(one: string | null, other: string | null): string | null {
  const [a, b] = [deltaSeconds(one), deltaSeconds(other)];
  if (a === undefined || b === undefined) return one === other ? one : unreadable;
  return a <= b ? one : other;
}

/** Seconds beyond which nothing is told apart (RFC 9111 §1.2.2). */
export const mostSeconds = 2 ** 31;

/** The seconds of an argument; undefined where it is no number of seconds. */
export function deltaSeconds(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined || !/^\d+$/.test(text)) return undefined;
  return Math.min(Number(text), mostSeconds);
}

/**
 * The seconds of a directive; undefined where it is absent. One that is there and cannot be read counts as 0: it was meant
 * to bound something, and by how much is not known.
 */
export function secondsOf(directives: CacheDirectives, name: string): number | undefined {
  return directives.has(name) ? (deltaSeconds(directives.get(name)) ?? 0) : undefined;
}
