import { compactVerify, decodeJwt, decodeProtectedHeader, errors } from 'jose';
import { claimsFault, defaultSkewMs, mostTokenLifeMs, type TokenFault } from './claims.ts';
import { serviceTokenAlgorithm, serviceTokenType } from './service-tokens.ts';
import type { TrustBundle } from './trust-bundle.ts';

export type TokenVerdict =
  | { kind: 'none' }
  | { kind: 'invalid'; fault: TokenFault }
  /** The caller has signed it for this service, just now. Whether it may is another question. */
  | { kind: 'valid'; caller: string };

export type TokenVerifier = {
  verify(token: string | undefined): Promise<TokenVerdict>;
};

export type TokenVerifierOptions = {
  /** This service's own name. */
  self: string;
  bundle: () => TrustBundle;
  /** Called where a key or its owner is not known: the bundle may be older than the token. */
  refresh?: () => Promise<void>;
  skewMs?: number;
  mostLifeMs?: number;
  nowMs?: () => number;
};

/** Ours have about 350 characters. */
const mostTokenCharacters = 2_048;
const mostRemembered = 1_000;

/**
 * Says who calls, by a token. The key is looked for among those of the token's own issuer; nothing else in the token chooses it.
 * No note is kept of tokens that were seen, since a caller sends one with many calls: whoever steals one can send it, to this service,
 * for the rest of its minute. Against that stand TLS and client certificates.
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { self, bundle, refresh, skewMs = defaultSkewMs, mostLifeMs = mostTokenLifeMs, nowMs = Date.now } = options;
  /** Signatures that were found good under the present bundle. */
  let remembered = { under: bundle(), payloads: new Map<string, Record<string, unknown>>() };

  const payloadOf = async (token: string): Promise<Record<string, unknown> | TokenFault> => {
    const now = bundle();
    if (remembered.under !== now) remembered = { under: now, payloads: new Map() };
    const { payloads } = remembered;
    const known = payloads.get(token);
    if (known !== undefined) return known;
    const payload = await signedPayload(token, now);
    if (typeof payload === 'string') return payload;
    const [oldest] = payloads.keys();
    if (payloads.size >= mostRemembered && oldest !== undefined) payloads.delete(oldest);
    payloads.set(token, payload);
    return payload;
  };

  return {
    async verify(token) {
      if (token === undefined) return { kind: 'none' };
      let payload = await payloadOf(token);
      if ((payload === 'key' || payload === 'issuer') && refresh !== undefined) {
        const before = bundle();
        await refresh();
        if (bundle() !== before) payload = await payloadOf(token);
      }
      const fault =
        typeof payload === 'string' ? payload : claimsFault(payload, { self, nowMs: nowMs(), skewMs, mostLifeMs });
      if (fault !== undefined) return { kind: 'invalid', fault };
      return { kind: 'valid', caller: String((payload as { iss: unknown }).iss) };
    },
  };
}

/** What a token says, once its issuer's key has signed it. */
async function signedPayload(token: string, bundle: TrustBundle): Promise<Record<string, unknown> | TokenFault> {
  if (token.length > mostTokenCharacters) return 'malformed';
  let header: Record<string, unknown>;
  let payload: Record<string, unknown>;
  try {
    header = decodeProtectedHeader(token);
    payload = decodeJwt(token);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return 'malformed';
    throw error;
  }
  const { typ, alg, kid } = header;
  const { iss } = payload;
  if (typ !== serviceTokenType) return 'type';
  if (alg !== serviceTokenAlgorithm) return 'algorithm';
  if (typeof iss !== 'string' || !bundle.knows(iss)) return 'issuer';
  const key = typeof kid === 'string' ? bundle.key(iss, kid) : undefined;
  if (key === undefined) return 'key';
  try {
    await compactVerify(token, key, { algorithms: [serviceTokenAlgorithm] });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
    if (error instanceof errors.JOSEError || error instanceof TypeError) return 'malformed';
    throw error;
  }
}
