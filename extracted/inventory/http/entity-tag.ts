import { createHash } from 'node:crypto';

/**
 * The strong entity tag of a representation (RFC 9110 section 8.8.3): a digest of its bytes, after the version of the
 * row it shows where there is one.
 */
export function entityTag(body: string, version?: number): string {
  const digest = createHash('sha256').update(body).digest('hex').slice(0, 32);
  return version === undefined ? `"${digest}"` : `"${version}-${digest}"`;
}

/** True when an If-None-Match header matches the tag, by the weak comparison of RFC 9110 section 13.1.2. */
export function ifNoneMatchMatches(header: string, tag: string): boolean {
  return matches(header, (candidate) => candidate.replace(/^W\//, '') === tag);
}

/** True when an If-Match header matches the tag, by the strong comparison of RFC 9110 section 13.1.1. */
export function ifMatchMatches(header: string, tag: string): boolean {
  return matches(header, (candidate) => candidate === tag);
}

function matches(header: string, same: (candidate: string) => boolean): boolean {
  if (header.trim() === '*') return true;
  // Tags may hold commas, so the header is not split: tags are picked out of it.
  return (header.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? []).some(same);
}
