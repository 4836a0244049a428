import { types } from 'node:util';
import { type CallName, tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import { z } from 'zod';
import { type Compartment, NotSent } from './compartment.ts';

/** A charge as the provider tells of it. */
export const chargeSchema = z.object({
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

/**
 * `unknown`: sent, and no answer that says; money may have moved. `not_sent`: nothing was sent, so none has.
 */
export type Undecided = { kind: 'unknown'; cause: string } | { kind: 'not_sent'; cause: string; retryAfterMs: number };

/** `rejected`: the provider has understood the request and will not do it, so no money moves. */
export type ChargeOutcome =
  | { kind: 'charge'; charge: ProviderCharge }
  | { kind: 'rejected'; status: number }
  | Undecided;
export type LookupOutcome = { kind: 'found'; charge: ProviderCharge } | { kind: 'none' } | Undecided;
export type RefundOutcome = { kind: 'refunded' } | { kind: 'rejected'; status: number } | Undecided;

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
  /** Gives `amountCents` of a charge back, or all of it (undefined). `key` makes it once. */
  refund(request: { chargeId: string; amountCents: number | undefined; key: string }): Promise<RefundOutcome>;
};

type Answer = { status: number; body: unknown };

/** The call was sent, and what came back, if anything, does not say what was done. */
class Unanswered extends Error {}

const maxAnswerBytes = 256 * 1024;

/** The provider's own affair what it records; ours is how long it took. */
const callTo = (path: string): CallName => ({
  peer: 'payment-provider',
  route: (path.split('?', 1)[0] ?? path).replace(/(?<=\/charges\/)[^/]+/, ':id'),
  to: 'elsewhere',
});

/** The payment provider over HTTP; every call is made in the compartment and ends after `timeoutMs`. */
export function createProviderClient({
  url,
  timeoutMs,
  compartment,
}: {
  url: string;
  timeoutMs: number;
  compartment: Pick<Compartment, 'run'>;
}): ProviderClient {
  const send = async (method: 'GET' | 'POST', path: string, key?: string, body?: object): Promise<Answer> => {
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
    const answer = { status: response.status, body: await readJson(response) };
    if (answer.status >= 500 || [408, 425, 429].includes(answer.status)) {
      throw new Unanswered(`answered ${answer.status}`);
    }
    return answer;
  };

  const call = async <T>(
    request: Parameters<typeof send>,
    read: (answer: Answer) => T | undefined,
  ): Promise<T | Undecided> => {
    try {
      const answer = await compartment.run(() => send(...request));
      return read(answer) ?? { kind: 'unknown', cause: `answered ${answer.status}` };
    } catch (error) {
      if (error instanceof NotSent) {
        return { kind: 'not_sent', cause: error.message, retryAfterMs: error.retryAfterMs };
      }
      if (wasRefused(error)) return { kind: 'not_sent', cause: 'the connection was refused', retryAfterMs: 1_000 };
      return { kind: 'unknown', cause: causeOf(error) };
    }
  };

  return {
    charge: ({ amountCents, currency, reference, cardToken }) => {
      const body = { amount_cents: amountCents, currency, reference, card_token: cardToken };
      return call<ChargeOutcome>(['POST', '/v1/charges', reference, body], (answer) => {
        if (answer.status === 400 || answer.status === 422) return { kind: 'rejected', status: answer.status };
        const charge = chargeSchema.safeParse(answer.body);
        return is2xx(answer.status) && charge.success && charge.data.reference === reference
          ? { kind: 'charge', charge: charge.data }
          : undefined;
      });
    },

    lookup: (reference) =>
      call<LookupOutcome>(['GET', `/v1/charges?reference=${encodeURIComponent(reference)}`], (answer) => {
        const charges = chargesSchema.safeParse(answer.body);
        if (!is2xx(answer.status) || !charges.success) return undefined;
        const ours = charges.data.items.filter((charge) => charge.reference === reference);
        const taken = ours.find((c) => c.status === 'succeeded') ?? ours.find((c) => c.status === 'pending');
        const telling = taken ?? ours[0];
        return telling ? { kind: 'found', charge: telling } : { kind: 'none' };
      }),

    refund: ({ chargeId, amountCents, key }) => {
      const body = amountCents === undefined ? {} : { amount_cents: amountCents };
      const path = `/v1/charges/${encodeURIComponent(chargeId)}/refunds`;
      return call<RefundOutcome>(['POST', path, key, body], ({ status }) => {
        if (is2xx(status)) return { kind: 'refunded' };
        return status >= 400 ? { kind: 'rejected', status } : undefined;
      });
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
    if (bytes > maxAnswerBytes) throw new Unanswered(`the answer is over ${maxAnswerBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  try {
    return JSON.parse(text + decoder.decode());
  } catch {
    return undefined;
  }
}

/** No connection came about at all. */
function wasRefused(error: unknown): boolean {
  return types.isNativeError(error) && (error.cause as { code?: unknown } | undefined)?.code === 'ECONNREFUSED';
}

function causeOf(error: unknown): string {
  if ((error as { name?: unknown } | null)?.name === 'TimeoutError') return 'no answer in time';
  if (!types.isNativeError(error)) return String(error);
  return types.isNativeError(error.cause) ? error.cause.message : error.message;
}
