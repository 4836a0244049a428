import type { CryptoKey } from 'jose';
import { z } from 'zod';
import { keyId, serviceName } from './names.ts';

/** A public Ed25519 key (RFC 8037). Strict: a file that holds `d`, the private part, is refused as a whole. */
const publishedKey = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url'),
  kid: keyId,
  alg: z.literal('EdDSA'),
  use: z.literal('sig'),
  /** Since when it is published; a rotation waits from then on. */
  published_at: z.iso.datetime(),
});
export type PublishedKey = z.infer<typeof publishedKey>;

const trustedCaller = z.strictObject({
  /** The services that it may call. */
  audiences: z.array(serviceName),
  /** More than one while keys are rotated; none: it may come by its certificate alone. */
  keys: z.array(publishedKey).max(8),
});
export type TrustedCaller = z.infer<typeof trustedCaller>;

const trustFile = z.strictObject({ version: z.literal(1), callers: z.record(serviceName, trustedCaller) });
/** Who may call whom, and with which keys: a text without secrets, the same for all processes. */
export type TrustFile = z.infer<typeof trustFile>;

/** The trust file as it is asked while calls come. */
export type TrustBundle = {
  knows(caller: string): boolean;
  /** Whether this caller may call this service. */
  grants(caller: string, audience: string): boolean;
  /** A key of this caller and no other's, whatever their ids. */
  key(caller: string, kid: string): CryptoKey | undefined;
};

/** A file of this folder that is not as it should be. The message names the file and never shows what a private one holds. */
export class TrustFileError extends Error {
  constructor(path: string, found: string, options?: ErrorOptions) {
    super(`${path}: ${found}`, options);
    this.name = 'TrustFileError';
  }
}

/** @throws TrustFileError naming every fault. */
export function parseTrustFile(text: string, path: string): TrustFile {
  const parsed = parseJsonFile(trustFile, text, path, 'who may call whom, made by `strangler keys init`');
  for (const [caller, { keys }] of Object.entries(parsed.callers)) {
    const ids = keys.map(({ kid }) => kid);
    const twice = ids.find((kid, at) => ids.indexOf(kid) !== at);
    if (twice !== undefined)
      throw new TrustFileError(path, `callers.${caller}.keys: expected each kid once, found ${twice} twice`);
  }
  return parsed;
}

/** Reads a JSON file by its schema; `expected` says what it should hold. @throws TrustFileError */
export function parseJsonFile<S extends z.ZodType>(
  schema: S,
  text: string,
  path: string,
  expected: string,
): z.infer<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // JSON's own message quotes the text, which may be a private key's.
    throw new TrustFileError(path, `expected JSON, ${expected}; found a text that is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path: at, message }) => `${at.join('.') || 'the whole'}: ${message}`);
  throw new TrustFileError(path, `expected ${expected}; found: ${faults.join('; ')}`);
}

export async function openTrustBundle({ callers }: TrustFile): Promise<TrustBundle> {
  // A program that asks nobody who he is does not load it.
  const { importJWK } = await import('jose');
  const keys = new Map<string, CryptoKey>();
  for (const [caller, { keys: published }] of Object.entries(callers)) {
    for (const { kid, kty, crv, x } of published) {
      keys.set(`${caller} ${kid}`, (await importJWK({ kty, crv, x }, 'EdDSA')) as CryptoKey);
    }
  }
  const of = (caller: string) => (Object.hasOwn(callers, caller) ? callers[caller] : undefined);
  return {
    knows: (caller) => of(caller) !== undefined,
    grants: (caller, audience) => of(caller)?.audiences.includes(audience) ?? false,
    key: (caller, kid) => keys.get(`${caller} ${kid}`),
  };
}
