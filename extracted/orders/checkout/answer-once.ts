import { createHash, randomBytes } from 'node:crypto';
import { change, type Executor, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import type { Fenced } from '../fenced.ts';

/** A whole answer, as it is kept and given again. */
export type Answer = { status: number; type: string; location: string | null; body: string };

/** A request under an Idempotency-Key. Keys of different accounts have nothing to do with one another. */
export type KeyedRequest = { accountId: number; key: string; body: object };

/** The right to run a request, and what an earlier run of it, which died since, has left: a saga here, or an order in the shop. */
export type Run = { accountId: number; key: string; runner: string; sagaId: string | null; orderId: number | null };

export type Claim =
  | { kind: 'run'; run: Run }
  | { kind: 'answered'; answer: Answer }
  | { kind: 'other_request' }
  | { kind: 'running'; retryAfterSeconds: number };

/** The run took longer than its lease and another request has taken over: nothing may be committed. */
export class LeaseLost extends Error {
  constructor({ key, accountId }: Run) {
    super(`the checkout under key ${key} of account ${accountId} was taken over by another request`);
    this.name = 'LeaseLost';
  }
}

export type AnswerOnceTimings = {
  /** How long a run is taken to be alive; longer than any waits for its saga. */
  leaseMs: number;
  /** How long answers are kept. */
  keepMs: number;
};

/** Answers each keyed request once, and the same way ever after (draft-ietf-httpapi-idempotency-key-header). */
export type AnswerOnce = {
  /** Whether the request is to be run now, and if not, what to answer. */
  claim(request: KeyedRequest): Promise<Claim>;
  /** Ties a saga to the run, in the saga's own transaction. Throws LeaseLost where another request has taken over. */
  bind(run: Run, sagaId: string, transaction: Executor): Promise<void>;
  /** Keeps the answer of a run. Throws LeaseLost where another request has taken over: that one's answer is the answer. */
  keep(run: Run, answer: Answer): Promise<void>;
  /** Ends a run that came to no answer: the next request with the key runs, from what is there. */
  giveUp(run: Run): Promise<void>;
  /** Forgets keys past their time; a bounded number a call. */
  forgetOld(): Promise<void>;
};

type Row = {
  requestHash: string;
  state: 'running' | 'answered';
  runner: string;
  leasedUntil: Date;
  expiresAt: Date;
  orderId: number | null;
  sagaId: string | null;
  status: number | null;
  type: string | null;
  location: string | null;
  body: string | null;
};

const columns = `request_hash AS requestHash, state, runner, leased_until AS leasedUntil, expires_at AS expiresAt,
  order_id AS orderId, saga_id AS sagaId, answer_status AS status, answer_type AS type, answer_location AS location,
  answer_body AS body`;
const owned = "account_id = ? AND idempotency_key = ? AND runner = ? AND state = 'running'";

export function createAnswerOnce({
  pool,
  fenced,
  clock,
  timings,
}: {
  pool: Pool;
  fenced: Fenced;
  clock: Clock;
  timings: AnswerOnceTimings;
}): AnswerOnce {
  const insert = async (
    { accountId, key }: KeyedRequest,
    hash: string,
    runner: string,
    now: Date,
  ): Promise<boolean> => {
    try {
      await fenced(() =>
        change(
          pool,
          `INSERT INTO idempotency_keys (account_id, idempotency_key, request_hash, state, runner, leased_until, created_at, expires_at)
           VALUES (?, ?, ?, 'running', ?, ?, ?, ?)`,
          [accountId, key, hash, runner, later(now, timings.leaseMs), now, later(now, timings.keepMs)],
        ),
      );
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  };
  const readRow = async ({ accountId, key }: { accountId: number; key: string }): Promise<Row | undefined> => {
    const sql = `SELECT ${columns} FROM idempotency_keys WHERE account_id = ? AND idempotency_key = ?`;
    return (await select<Row>(pool, sql, [accountId, key]))[0];
  };

  /** Only one of several requests can change the row from what they have all seen. */
  const takeOver = async (request: KeyedRequest, known: Row, set: string, values: unknown[]): Promise<Claim> => {
    const { accountId, key } = request;
    const runner = randomBytes(16).toString('hex');
    const { found } = await fenced(() =>
      change(
        pool,
        `UPDATE idempotency_keys SET ${set}, runner = ?
         WHERE account_id = ? AND idempotency_key = ? AND runner = ? AND leased_until = ?`,
        [...values, runner, accountId, key, known.runner, known.leasedUntil],
      ),
    );
    if (found !== 1) return { kind: 'running', retryAfterSeconds: 1 };
    // Read now and not before: until the row was taken over, the run before could still bind its saga.
    const row = await readRow(request);
    return { kind: 'run', run: { accountId, key, runner, sagaId: row?.sagaId ?? null, orderId: row?.orderId ?? null } };
  };

  return {
    async claim(request) {
      const { accountId, key } = request;
      const now = clock.now();
      const hash = hashOf(request.body);
      const runner = randomBytes(16).toString('hex');
      if (await insert(request, hash, runner, now)) {
        return { kind: 'run', run: { accountId, key, runner, sagaId: null, orderId: null } };
      }
      const known = await readRow(request);
      if (known === undefined) return { kind: 'running', retryAfterSeconds: 1 };
      if (known.expiresAt <= now) {
        const set = `request_hash = ?, state = 'running', leased_until = ?, created_at = ?, expires_at = ?, order_id = NULL,
          saga_id = NULL, answer_status = NULL, answer_type = NULL, answer_location = NULL, answer_body = NULL`;
        return takeOver(request, known, set, [hash, later(now, timings.leaseMs), now, later(now, timings.keepMs)]);
      }
      if (known.requestHash !== hash) return { kind: 'other_request' };
      if (known.state === 'answered') return { kind: 'answered', answer: answerOf(known) };
      const leftMs = known.leasedUntil.getTime() - now.getTime();
      if (leftMs > 0) return { kind: 'running', retryAfterSeconds: Math.max(1, Math.ceil(leftMs / 1000)) };
      return takeOver(request, known, 'leased_until = ?', [later(now, timings.leaseMs)]);
    },
    async bind(run, sagaId, transaction) {
      const sql = `UPDATE idempotency_keys SET saga_id = ? WHERE ${owned}`;
      const { found } = await change(transaction, sql, [sagaId, run.accountId, run.key, run.runner]);
      if (found !== 1) throw new LeaseLost(run);
    },
    async keep(run, { status, type, location, body }) {
      const { found } = await fenced(() =>
        change(
          pool,
          `UPDATE idempotency_keys SET state = 'answered', answer_status = ?, answer_type = ?, answer_location = ?, answer_body = ?
           WHERE ${owned}`,
          [status, type, location, body, run.accountId, run.key, run.runner],
        ),
      );
      if (found !== 1) throw new LeaseLost(run);
    },
    async giveUp({ accountId, key, runner }) {
      const sql = `UPDATE idempotency_keys SET leased_until = ? WHERE ${owned}`;
      await change(pool, sql, [clock.now(), accountId, key, runner]);
    },
    async forgetOld() {
      await change(pool, 'DELETE FROM idempotency_keys WHERE expires_at <= ? LIMIT 1000', [clock.now()]);
    },
  };
}

/** SHA-256 of a body, the same whatever the order of its members, and the same as the shop's. Bodies here are flat. */
function hashOf(body: object): string {
  const members = Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(members)).digest('hex');
}

function answerOf({ status, type, location, body }: Row): Answer {
  return { status: status ?? 500, type: type ?? 'application/json; charset=utf-8', location, body: body ?? '' };
}

function later(now: Date, ms: number): Date {
  return new Date(now.getTime() + ms);
}
