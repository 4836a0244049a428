import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { keyId, serviceName } from './names.ts';
import { type PublishedKey, parseJsonFile } from './trust-bundle.ts';

const part = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url');
const privateKey = z.strictObject({ kid: keyId, x: part, d: part });
/** An Ed25519 key pair: `x` is the public part, `d` the private one. */
export type PrivateKey = z.infer<typeof privateKey>;

const keyRing = z.strictObject({
  version: z.literal(1),
  service: serviceName,
  /** The one that signs. */
  signing: privateKey,
  /** Made and not yet signing: verifiers get to know it first. */
  next: privateKey.optional(),
  /** Signs no more; its last tokens may still be under way. */
  previous: z.strictObject({ kid: keyId, signed_until: z.iso.datetime() }).optional(),
});
/** A service's own keys: a secret, for that service alone. */
export type KeyRing = z.infer<typeof keyRing>;

/** @throws TrustFileError, without showing anything of the text. */
export function parseKeyRing(text: string, path: string): KeyRing {
  return parseJsonFile(keyRing, text, path, "a service's own keys, made by `strangler keys init`");
}

/** A new pair; its id begins with the day on which it was made. */
export async function makePrivateKey(now: Date): Promise<PrivateKey> {
  // Only where keys are made; whoever reads them has no use for it.
  const { exportJWK, generateKeyPair } = await import('jose');
  const { privateKey: made } = await generateKeyPair('EdDSA', { extractable: true });
  const { x, d } = await exportJWK(made);
  if (x === undefined || d === undefined) throw new Error('an Ed25519 key was exported without x or d');
  return { kid: `${now.toISOString().slice(0, 10)}-${randomBytes(6).toString('hex')}`, x, d };
}

/** What others may know of a key. */
export function publishedKeyOf({ kid, x }: PrivateKey, publishedAt: Date): PublishedKey {
  return { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig', published_at: publishedAt.toISOString() };
}
