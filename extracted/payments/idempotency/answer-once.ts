import { createHash, randomBytes } from 'node:crypto';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { change, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';

/** A whole answer, as it is kept and given again. */
export type Answer = { status: number; type: string; location: string | null; body: string };

/** A request under an Idempotency-Key. Keys of different callers have nothing to do with one another. */
export type KeyedRequest = { caller: string; key: string; operation: string; body: unknown };

/**
 * Answers each keyed request once, and the same way ever after (draft-ietf-httpapi-idempotency-key-header). A run whose process
 * died is taken over when its lease ends; what it had done stays done, for the work itself is safe to run again.
 */
export type AnswerOnce = {
  /**
   * The kept answer, or that of `work`. A problem below 500 is an answer like any other; after anything else the key is free
   * for another run. Throws 422 where the key was used for another request, 409 with Retry-After while that one still runs.
   */
  answer(request: KeyedRequest, work: () => Promise<Answer>): Promise<{ answer: Answer; replayed: boolean }>;
  /** Forgets keys past their time; a bounded number a call. */
  forgetOld(): Promise<void>;
};

export type AnswerOnceTimings = {
  /** How long a run is taken to be alive; longer than any run lasts. */
  leaseMs: number;
  /** How long answers are kept. */
  keepMs: number;
};

type Row = {
  requestHash: string;
  state: 'running' | 'answered';
  runner: string;
  leasedUntil: Date;
  expiresAt: Date;
  status: number | null;
  type: string | null;
  location: string | null;
  body: string | null;
};

type Claim = { kind: 'run'; runner: string } | { kind: 'answered'; answer: Answer };

export function createAnswerOnce({
  pool,
  clock,
  timings,
  metrics,
}: {
  pool: Pool;
  clock: Clock;
  timings: AnswerOnceTimings;
  metrics: Registry;
}): AnswerOnce {
  const counted = new Counter({
    name: 'payments_keyed_requests_total',
    help: 'Requests under an Idempotency-Key, by what they came to',
    labelNames: ['outcome'],
    registers: [metrics],
  });

  const insert = async ({ caller, key }: KeyedRequest, hash: string, runner: string, now: Date): Promise<boolean> => {
    const until = new Date(now.getTime() + timings.leaseMs);
    const expires = new Date(now.getTime() + timings.keepMs);
    try {
      await change(
        pool,
        `INSERT INTO idempotency_keys (caller, idempotency_key, request_hash, state, runner, leased_until, created_at, expires_at)
         VALUES (?, ?, ?, 'running', ?, ?, ?, ?)`,
        [caller, key, hash, runner, until, now, expires],
      );
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  };

  const claim = async (request: KeyedRequest): Promise<Claim> => {
    const now = clock.now();
    const hash = hashOf(request);
    const runner = randomBytes(16).toString('hex');
    const { caller, key } = request;
    if (await insert(request, hash, runner, now)) return { kind: 'run', runner };
    const [known] = await select<Row>(
      pool,
      `SELECT request_hash AS requestHash, state, runner, leased_until AS leasedUntil, expires_at AS expiresAt,
         answer_status AS status, answer_type AS type, answer_location AS location, answer_body AS body
       FROM idempotency_keys WHERE caller = ? AND idempotency_key = ?`,
      [caller, key],
    );
    if (known === undefined) throw stillRunning(1);
    const isExpired = known.expiresAt <= now;
    if (!isExpired) {
      if (known.requestHash !== hash) throw otherRequest();
      if (known.state === 'answered') return { kind: 'answered', answer: answerOf(known) };
      if (known.leasedUntil > now) throw stillRunning((known.leasedUntil.getTime() - now.getTime()) / 1000);
    }
    // Only one of several requests can change the row from what they have all seen.
    const { found: taken } = await change(
      pool,
      `UPDATE idempotency_keys SET request_hash = ?, state = 'running', runner = ?, leased_until = ?, expires_at = ?,
         answer_status = NULL, answer_type = NULL, answer_location = NULL, answer_body = NULL
       WHERE caller = ? AND idempotency_key = ? AND runner = ? AND leased_until = ? AND state = ?`,
      [
        ...[hash, runner, new Date(now.getTime() + timings.leaseMs), new Date(now.getTime() + timings.keepMs)],
        ...[caller, key, known.runner, known.leasedUntil, known.state],
      ],
    );
    if (taken !== 1) throw stillRunning(1);
    counted.inc({ outcome: 'taken_over' });
    return { kind: 'run', runner };
  };

  const keep = async ({ caller, key }: KeyedRequest, runner: string, { status, type, location, body }: Answer) => {
    const { found: kept } = await change(
      pool,
      `UPDATE idempotency_keys SET state = 'answered', answer_status = ?, answer_type = ?, answer_location = ?, answer_body = ?
       WHERE caller = ? AND idempotency_key = ? AND runner = ? AND state = 'running'`,
      [status, type, location, body, caller, key, runner],
    );
    // Another request has taken over: its answer is the answer.
    if (kept !== 1) throw stillRunning(1);
  };

  const giveUp = ({ caller, key }: KeyedRequest, runner: string) =>
    change(
      pool,
      "UPDATE idempotency_keys SET leased_until = ? WHERE caller = ? AND idempotency_key = ? AND runner = ? AND state = 'running'",
      [clock.now(), caller, key, runner],
    );

  return {
    async answer(request, work) {
      const claimed = await claim(request);
      if (claimed.kind === 'answered') {
        counted.inc({ outcome: 'replayed' });
        return { answer: claimed.answer, replayed: true };
      }
      try {
        const answer = await work().catch(refusalOf);
        await keep(request, claimed.runner, answer);
        counted.inc({ outcome: 'answered' });
        return { answer, replayed: false };
      } catch (error) {
        counted.inc({ outcome: 'given_up' });
        // Where even that fails, the lease ends by itself.
        await giveUp(request, claimed.runner).catch(() => {});
        throw error;
      }
    },
    async forgetOld() {
      await change(pool, 'DELETE FROM idempotency_keys WHERE expires_at <= ? LIMIT 1000', [clock.now()]);
    },
  };
}

/** A problem as it is kept and sent. */
export function problemAnswer(problem: Problem): Answer {
  const body = JSON.stringify(problem);
  return { status: problem.status, type: 'application/problem+json; charset=utf-8', location: null, body };
}

function refusalOf(error: unknown): Answer {
  if (error instanceof Problem && error.status < 500) return problemAnswer(error);
  throw error;
}

/** SHA-256 of operation and body; the same whatever the order of the body's members. */
function hashOf({ operation, body }: KeyedRequest): string {
  return createHash('sha256')
    .update(`${operation}\0${JSON.stringify(sorted(body))}`)
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

function answerOf({ status, type, location, body }: Row): Answer {
  return { status: status ?? 500, type: type ?? 'application/json; charset=utf-8', location, body: body ?? '' };
}

function otherRequest(): Problem {
  return problems.unprocessable('This Idempotency-Key was used for another request. Take a new key for a new request.');
}

function stillRunning(retryAfterSeconds: number): Problem {
  return new Problem({
    status: 409,
    title: 'Request still running',
    detail: 'The first request with this Idempotency-Key has not been answered yet.',
    headers: { 'retry-after': `${Math.max(1, Math.ceil(retryAfterSeconds))}` },
  });
}
