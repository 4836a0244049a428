import { createHash, randomBytes } from 'node:crypto';
import { Op, type Transaction, UniqueConstraintError } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import type { OrdersOfOwner } from '../orders/index.ts';
import type { IdempotencyKey, IdempotencyKeyRow } from './models.ts';

/** A whole answer, as it is kept and given again. */
export type Answer = { status: number; type: string; location: string | null; body: string };

/** A request under an Idempotency-Key. Keys of different accounts have nothing to do with one another. */
export type KeyedRequest = { accountId: number; key: string; body: object };

/** The right to run a request. `orderId`: what an earlier run, which died since, has already committed. */
export type Run = { accountId: number; key: string; runner: string; orderId: number | null };

export type Claim =
  | { kind: 'run'; run: Run }
  | { kind: 'answered'; answer: Answer }
  | { kind: 'other_request' }
  | { kind: 'running'; retryAfterSeconds: number };

/** The run took longer than its lease and another request has taken over: nothing may be committed. */
export class LeaseLost extends Error {
  constructor(run: Run) {
    super(`the checkout under key ${run.key} of account ${run.accountId} was taken over by another request`);
    this.name = 'LeaseLost';
  }
}

export type AnswerOnceTimings = {
  /** How long a run is taken to be alive. Longer than any run lasts. */
  leaseMs: number;
  /** How long answers are kept. */
  keepMs: number;
};

export const defaultAnswerOnceTimings: AnswerOnceTimings = { leaseMs: 30_000, keepMs: 24 * 3_600_000 };

/**
 * Answers each keyed request once, and the same way ever after (draft-ietf-httpapi-idempotency-key-header). A run whose process died
 * is taken over when its lease ends, and goes on from what it had committed.
 */
export class AnswerOnce {
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #timings: AnswerOnceTimings;
  readonly #orders: Pick<OrdersOfOwner, 'whileHere'>;

  constructor(parts: {
    models: Models;
    clock: Clock;
    timings: AnswerOnceTimings;
    /** Keys move with the orders. */
    orders: Pick<OrdersOfOwner, 'whileHere'>;
  }) {
    this.#orders = parts.orders;
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#timings = parts.timings;
  }

  /** Whether the request is to be run now, and if not, what to answer. */
  claim(request: KeyedRequest): Promise<Claim> {
    return this.#orders.whileHere(() => this.#claim(request));
  }

  async #claim({ accountId, key, body }: KeyedRequest): Promise<Claim> {
    const now = this.#clock.now();
    const fresh = {
      request_hash: hashOf(body),
      state: 'running' as const,
      runner: randomBytes(16).toString('hex'),
      leased_until: new Date(now.getTime() + this.#timings.leaseMs),
      order_id: null,
      answer_status: null,
      answer_type: null,
      answer_location: null,
      answer_body: null,
      created_at: now,
      expires_at: new Date(now.getTime() + this.#timings.keepMs),
    };
    try {
      await this.#models.IdempotencyKey.create({ account_id: accountId, idempotency_key: key, ...fresh });
      return { kind: 'run', run: { accountId, key, runner: fresh.runner, orderId: null } };
    } catch (error) {
      if (!(error instanceof UniqueConstraintError)) throw error;
    }

    const known = await this.#models.IdempotencyKey.findOne({ where: { account_id: accountId, idempotency_key: key } });
    if (!known) return this.#busy(now, now);
    const isExpired = known.expires_at <= now;
    if (isExpired) return this.#takeOver(known, fresh, now);
    if (known.request_hash !== fresh.request_hash) return { kind: 'other_request' };
    if (known.state === 'answered') return { kind: 'answered', answer: answerOf(known) };
    if (known.leased_until > now) return this.#busy(known.leased_until, now);
    return this.#takeOver(known, { runner: fresh.runner, leased_until: fresh.leased_until }, now);
  }

  /**
   * Ties the order to the run, in the order's own transaction: both are committed or neither. Throws LeaseLost where another request
   * has taken over.
   */
  async bind(run: Run, orderId: number, transaction: Transaction): Promise<void> {
    const [bound] = await this.#models.IdempotencyKey.update(
      { order_id: orderId },
      { where: { ...this.#owned(run), order_id: null }, transaction },
    );
    if (bound !== 1) throw new LeaseLost(run);
  }

  /** Keeps the answer of a run. Throws LeaseLost where another request has taken over: that one's answer is the answer. */
  async keep(run: Run, answer: Answer): Promise<void> {
    const kept = await this.#change(run, {
      state: 'answered',
      answer_status: answer.status,
      answer_type: answer.type,
      answer_location: answer.location,
      answer_body: answer.body,
    });
    if (kept !== 1) throw new LeaseLost(run);
  }

  /** Ends a run that came to no answer: the next request with the key runs, from what is committed. */
  async giveUp(run: Run): Promise<void> {
    await this.#change(run, { leased_until: this.#clock.now() });
  }

  /** Forgets keys past their time; a bounded number a call. */
  async forgetOld(): Promise<void> {
    await this.#models.IdempotencyKey.destroy({ where: { expires_at: { [Op.lte]: this.#clock.now() } }, limit: 1_000 });
  }

  #change(run: Run, values: Partial<IdempotencyKeyRow>): Promise<number> {
    return this.#orders.whileHere(async () => {
      const [changed] = await this.#models.IdempotencyKey.update(values, { where: this.#owned(run) });
      return changed;
    });
  }

  #owned({ accountId, key, runner }: Run) {
    return { account_id: accountId, idempotency_key: key, runner, state: 'running' as const };
  }

  /** Only one of several requests can change the row from what they have all seen. */
  async #takeOver(
    known: IdempotencyKey,
    change: Partial<IdempotencyKeyRow> & { runner: string },
    now: Date,
  ): Promise<Claim> {
    const { account_id: accountId, idempotency_key: key } = known;
    const where = { account_id: accountId, idempotency_key: key };
    const [taken] = await this.#models.IdempotencyKey.update(change, {
      where: { ...where, runner: known.runner, leased_until: known.leased_until },
    });
    if (taken !== 1) return this.#busy(now, now);
    // Read now and not before: until the row was taken over, the run before could still commit its order.
    const row = await this.#models.IdempotencyKey.findOne({ where, attributes: ['order_id'], rejectOnEmpty: true });
    return { kind: 'run', run: { accountId, key, runner: change.runner, orderId: row.order_id } };
  }

  #busy(until: Date, now: Date): Claim {
    return { kind: 'running', retryAfterSeconds: Math.max(1, Math.ceil((until.getTime() - now.getTime()) / 1000)) };
  }
}

/** SHA-256 of a body, the same whatever the order of its members. Bodies here are flat. */
function hashOf(body: object): string {
  const members = Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(members)).digest('hex');
}

function answerOf(row: IdempotencyKey): Answer {
  return {
    status: row.answer_status ?? 500,
    type: row.answer_type ?? 'application/json; charset=utf-8',
    location: row.answer_location,
    body: row.answer_body ?? '',
  };
}
