import { bucketCount } from '@strangler/platform/contracts/flag-document.ts';

/**
 * The bucket, 0 to 9,999, in which a user of a slice stands for good: at p percent the service answers the first
 * p × 100 buckets, so raising p only adds users and lowering it releases those who were added last.
 * The slice's name is part of what is hashed, so that the same users are not the first everywhere.
 */
export const bucketOf = (slice: string, stickyKey: string): number =>
  murmur3(`${slice}\0${stickyKey}`, 0) % bucketCount;

const encoder = new TextEncoder();

/** MurmurHash3 x86 32 bit, by Austin Appleby (public domain), over the text's UTF-8 bytes. */
export const murmur3 = (text: string, seed: number): number => {
  const bytes = encoder.encode(text);
  const blocks = bytes.length & ~3;
  let hash = seed;
  for (let at = 0; at < blocks; at += 4) {
    const block = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hash ^= scramble(block);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let at = bytes.length - 1; at >= blocks; at -= 1) tail = (tail << 8) | bytes[at]!;
  hash ^= scramble(tail) ^ bytes.length;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
};

const scramble = (block: number): number => {
  const mixed = Math.imul(block, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
};
