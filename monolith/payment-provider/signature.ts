import { createHmac } from 'node:crypto';

export const signatureHeader = 'provider-signature';

/**
 * The value of `Provider-Signature` for a webhook: `t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`. The time is part of
 * what is signed, so that an old webhook cannot be sent again under a new time.
 */
export function signWebhook(secret: string, body: string, now: Date): string {
  const t = Math.floor(now.getTime() / 1000);
  return `t=${t},v1=${createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')}`;
}
