import { createHash, randomBytes } from 'node:crypto';

/** Begins every key that is made here, so that one that has leaked can be found by searching for it. */
export const apiKeyPrefix = 'sgk_';

const randomByteCount = 24;
/** 128 bits in base64url. */
const fewestCharacters = 22;

/** A new API key: 192 random bits. */
export const newApiKey = (): string => `${apiKeyPrefix}${randomBytes(randomByteCount).toString('base64url')}`;

/** What is kept of a key. A plain hash is enough for a key that nobody could guess; it would not be for a password. */
export const hashApiKey = (key: string): Buffer => createHash('sha256').update(key).digest();

/** Whether a text may be hashed as a key: long enough to hold 128 random bits, and fit for a header. */
export const canBeApiKey = (key: string): boolean =>
  /^[!-~]+$/.test(key) && key.replace(new RegExp(`^${apiKeyPrefix}`), '').length >= fewestCharacters;
