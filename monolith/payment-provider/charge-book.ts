import { createHash, randomBytes } from 'node:crypto';

/** A charge as the provider tells of it. Money in minor units, times in ISO 8601 UTC. */
export type Charge = {
  id: string;
  status: 'pending' | 'succeeded' | 'failed';
  amount_cents: number;
  currency: string;
  /** The merchant's own name for the payment. */
  reference: string;
  failure_code: string | null;
  refunded_cents: number;
  created_at: string;
};

export type Refund = { id: string; charge_id: string; amount_cents: number; created_at: string };

export type ChargeRequest = { amount_cents: number; currency: string; reference: string; card_token: string };

/** What an idempotency key is used for now: nothing yet, the same request, or another one. */
export type KeyUse<T> = { kind: 'new' } | { kind: 'same'; result: T } | { kind: 'different' };

export type RefundOutcome =
  | { kind: 'refunded'; refund: Refund }
  | { kind: 'not_refundable'; status: Charge['status'] }
  | { kind: 'too_much'; leftCents: number };

type Keyed<T> = { fingerprint: string; result: T };

/**
 * The provider's books, in memory: it is the outside world, and forgets when it is restarted. Holds the newest
 * `maxCharges` charges and as many idempotency keys; older ones are forgotten first.
 */
export class ChargeBook {
  readonly #maxCharges: number;
  readonly #charges = new Map<string, Charge>();
  readonly #chargeKeys = new Map<string, Keyed<Charge>>();
  readonly #refundKeys = new Map<string, Keyed<Refund>>();

  constructor(maxCharges: number) {
    this.#maxCharges = maxCharges;
  }

  get size(): number {
    return this.#charges.size;
  }

  /** Whether `key` was used for a charge, and whether for this very request. */
  chargeKeyUse(key: string, request: ChargeRequest): KeyUse<Charge> {
    return useOf(this.#chargeKeys.get(key), request);
  }

  /** Takes a charge; it is `pending` until `decide`. */
  open(key: string, request: ChargeRequest, now: Date): Charge {
    const charge: Charge = {
      id: `ch_${randomBytes(12).toString('hex')}`,
      status: 'pending',
      amount_cents: request.amount_cents,
      currency: request.currency,
      reference: request.reference,
      failure_code: null,
      refunded_cents: 0,
      created_at: now.toISOString(),
    };
    this.#charges.set(charge.id, charge);
    this.#chargeKeys.set(key, { fingerprint: fingerprint(request), result: charge });
    forgetOldest(this.#charges, this.#maxCharges);
    forgetOldest(this.#chargeKeys, this.#maxCharges);
    return charge;
  }

  /** Gives a pending charge its outcome; a decided one keeps the outcome it has. */
  decide(charge: Charge, failureCode: string | null): void {
    if (charge.status !== 'pending') return;
    charge.status = failureCode === null ? 'succeeded' : 'failed';
    charge.failure_code = failureCode;
  }

  find(id: string): Charge | undefined {
    return this.#charges.get(id);
  }

  /** Every charge, oldest first. */
  all(): Charge[] {
    return [...this.#charges.values()];
  }

  /** Every charge with this reference, oldest first. */
  byReference(reference: string): Charge[] {
    return [...this.#charges.values()].filter((charge) => charge.reference === reference);
  }

  refundKeyUse(key: string, chargeId: string, amountCents: number | undefined): KeyUse<Refund> {
    return useOf(this.#refundKeys.get(key), { chargeId, amountCents });
  }

  /** Gives back `amountCents` of a charge, or all that is left of it when no amount is said. */
  refund(key: string, charge: Charge, amountCents: number | undefined, now: Date): RefundOutcome {
    if (charge.status !== 'succeeded') return { kind: 'not_refundable', status: charge.status };
    const leftCents = charge.amount_cents - charge.refunded_cents;
    const amount = amountCents ?? leftCents;
    if (amount > leftCents || leftCents === 0) return { kind: 'too_much', leftCents };
    charge.refunded_cents += amount;
    const refund: Refund = {
      id: `re_${randomBytes(12).toString('hex')}`,
      charge_id: charge.id,
      amount_cents: amount,
      created_at: now.toISOString(),
    };
    this.#refundKeys.set(key, { fingerprint: fingerprint({ chargeId: charge.id, amountCents }), result: refund });
    forgetOldest(this.#refundKeys, this.#maxCharges);
    return { kind: 'refunded', refund };
  }
}

function useOf<T>(known: Keyed<T> | undefined, request: object): KeyUse<T> {
  if (!known) return { kind: 'new' };
  return known.fingerprint === fingerprint(request) ? { kind: 'same', result: known.result } : { kind: 'different' };
}

function fingerprint(request: object): string {
  return createHash('sha256')
    .update(JSON.stringify(Object.entries(request).sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest('hex');
}

function forgetOldest(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
