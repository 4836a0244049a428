import { type CallName, tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import { z } from 'zod';

/** A charge as the provider tells of it. */
const chargeSchema = z.object({
  id: z.string().min(1).max(64),
  status: z.enum(['pending', 'succeeded', 'failed']),
  amount_cents: z.int(),
  currency: z.string(),
  reference: z.string(),
  failure_code: z.string().max(64).nullable(),
  refunded_cents: z.int(),
});
const chargesSchema = z.object({ items: z.array(chargeSchema) });

export type ProviderCharge = z.infer<typeof chargeSchema>;
export { chargeSchema as providerChargeSchema };

/**
 * What became of a charge that was asked for. `rejected`: the provider has understood the request and will not take it, so no money moves.
 * `unknown`: no answer, or none that says; the money may have been taken.
 */
export type ChargeOutcome =
  | { kind: 'charge'; charge: ProviderCharge }
  | { kind: 'rejected'; status: number }
  | { kind: 'unknown'; cause: string };

export type LookupOutcome =
  | { kind: 'found'; charge: ProviderCharge }
  | { kind: 'none' }
  | { kind: 'unknown'; cause: string };

export type RefundOutcome =
  | { kind: 'refunded' }
  | { kind: 'rejected'; status: number }
  | { kind: 'unknown'; cause: string };

export type ProviderClient = {
  /** Asks for a charge. `reference` is the idempotency key too: asking again takes no money again. */
  charge(request: {
    amountCents: number;
    currency: string;
    reference: string;
    cardToken: string;
  }): Promise<ChargeOutcome>;
  /** The charge with this reference, if the provider has one. */
  lookup(reference: string): Promise<LookupOutcome>;
  /** Gives a whole charge back. `key` makes it once. */
  refund(chargeId: string, key: string): Promise<RefundOutcome>;
};

type Answer = { kind: 'answered'; status: number; body: unknown } | { kind: 'unanswered'; cause: string };

const maxAnswerBytes = 256 * 1024;

/** The provider's own affair what it records; ours is how long it took. */
const callTo = (path: string): CallName => ({
  peer: 'payment-provider',
  route: (path.split('?', 1)[0] ?? path).replace(/(?<=\/charges\/)[^/]+/, ':id'),
  to: 'elsewhere',
});

/** The payment provider over HTTP; every call ends after `timeoutMs`. */
export function createProviderClient({ url, timeoutMs }: { url: string; timeoutMs: number }): ProviderClient {
  const call = async (method: 'GET' | 'POST', path: string, key?: string, body?: object): Promise<Answer> => {
    try {
      const response = await tracedFetch(callTo(path), new URL(path, url), {
        method,
        headers: {
          accept: 'application/json',
          ...(key === undefined ? {} : { 'idempotency-key': key }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      return { kind: 'answered', status: response.status, body: await readJson(response) };
    } catch (error) {
      return { kind: 'unanswered', cause: causeOf(error) };
    }
  };

  return {
    async charge({ amountCents, currency, reference, cardToken }) {
      const body = { amount_cents: amountCents, currency, reference, card_token: cardToken };
      const answer = await call('POST', '/v1/charges', reference, body);
      if (answer.kind === 'unanswered') return { kind: 'unknown', cause: answer.cause };
      if (answer.status === 400 || answer.status === 422) return { kind: 'rejected', status: answer.status };
      const charge = chargeSchema.safeParse(answer.body);
      if (!is2xx(answer.status) || !charge.success || charge.data.reference !== reference) {
        return { kind: 'unknown', cause: `answered ${answer.status}` };
      }
      return { kind: 'charge', charge: charge.data };
    },

    async lookup(reference) {
      const answer = await call('GET', `/v1/charges?reference=${encodeURIComponent(reference)}`);
      if (answer.kind === 'unanswered') return { kind: 'unknown', cause: answer.cause };
      const charges = chargesSchema.safeParse(answer.body);
      if (!is2xx(answer.status) || !charges.success) return { kind: 'unknown', cause: `answered ${answer.status}` };
      const ours = charges.data.items.filter((charge) => charge.reference === reference);
      const telling = ours.find((c) => c.status === 'succeeded') ?? ours.find((c) => c.status === 'pending') ?? ours[0];
      return telling ? { kind: 'found', charge: telling } : { kind: 'none' };
    },

    async refund(chargeId, key) {
      const answer = await call('POST', `/v1/charges/${encodeURIComponent(chargeId)}/refunds`, key, {});
      if (answer.kind === 'unanswered') return { kind: 'unknown', cause: answer.cause };
      if (is2xx(answer.status)) return { kind: 'refunded' };
      if (answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status)) {
        return { kind: 'rejected', status: answer.status };
      }
      return { kind: 'unknown', cause: `answered ${answer.status}` };
    },
  };
}

function is2xx(status: number): boolean {
  return status >= 200 && status < 300;
}

async function readJson(response: Response): Promise<unknown> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxAnswerBytes) throw new Error(`the provider's answer is over ${maxAnswerBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  try {
    return JSON.parse(text + decoder.decode());
  } catch {
    return undefined;
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  return error.cause instanceof Error ? error.cause.message : error.message;
}
