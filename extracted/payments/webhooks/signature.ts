import { createHmac, timingSafeEqual } from 'node:crypto';

/** How far a webhook's time may be from ours, in seconds, either way. */
export const signatureWindowSeconds = 300;

export type SignatureCheck =
  | { kind: 'genuine' }
  | { kind: 'malformed' }
  | { kind: 'outside_window'; ageSeconds: number }
  | { kind: 'forged' };

/**
 * Checks `Provider-Signature: t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`. Several `v1` may be given and several
 * secrets be good at once, as happens while the secret is being changed at either end; one pair that fits is enough. `body` is what
 * came over the wire, before any parsing.
 */
export function checkSignature(
  secrets: readonly string[],
  header: string | undefined,
  body: Buffer,
  now: Date,
): SignatureCheck {
  const parsed = parse(header ?? '');
  if (!parsed) return { kind: 'malformed' };
  const expected = secrets.map((secret) => createHmac('sha256', secret).update(`${parsed.t}.`).update(body).digest());
  // Every pair is compared, and the window is looked at last, so that the time taken tells nothing.
  const fits = expected.flatMap((one) => parsed.signatures.map((given) => timingSafeEqual(given, one))).includes(true);
  if (!fits) return { kind: 'forged' };
  const ageSeconds = Math.floor(now.getTime() / 1000) - parsed.t;
  return Math.abs(ageSeconds) <= signatureWindowSeconds ? { kind: 'genuine' } : { kind: 'outside_window', ageSeconds };
}

const maxSignatures = 5;

function parse(header: string): { t: number; signatures: Buffer[] } | undefined {
  let t: number | undefined;
  const signatures: Buffer[] = [];
  for (const part of header.split(',', maxSignatures + 2)) {
    const [name, value = ''] = part.trim().split('=', 2);
    if (name === 't') {
      if (t !== undefined || !/^\d{1,12}$/.test(value)) return undefined;
      t = Number(value);
    } else if (name === 'v1') {
      if (!/^[0-9a-f]{64}$/.test(value)) return undefined;
      signatures.push(Buffer.from(value, 'hex'));
    }
  }
  if (t === undefined || signatures.length === 0 || signatures.length > maxSignatures) return undefined;
  return { t, signatures };
}
