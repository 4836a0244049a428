import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import type { Fenced } from '../fenced.ts';
import { fromJson, VersionConflict } from '../order/order-store.ts';
import { after, type Happening, plan, type SagaState, type Timings } from './saga-state.ts';

export type Saga = {
  id: string;
  accountId: number;
  idempotencyKey: string | null;
  orderId: number | null;
  state: SagaState;
  dueAt: Date | null;
  /** Grows with every lease: what follows from silence is decided only by who has the newest. */
  leaseToken: number;
  createdAt: Date;
};

/** An order was placed, and the saga was left to whoever had the orders then: it says nothing of it any more. */
export const isLeft = ({ dueAt, state }: Pick<Saga, 'dueAt' | 'state'>): boolean =>
  dueAt === null && state.order === 'placed';

export type SagaKey = { id: string } | { orderId: number };

/** What a step of a saga finds out in its own transaction. */
export type InTransaction = (saga: Saga, transaction: Executor) => Promise<Happening | readonly Happening[]>;

/** Who has the lease and goes on; who has not, so that another may be at it; or somebody for whom it is to be looked at. */
export type Writer = 'driver' | 'another' | 'nobody';

export type SagaStore = {
  /** Runs work in a transaction of the orders; again where it met a conflict. */
  inTransaction<T>(work: (transaction: Executor) => Promise<T>): Promise<T>;
  read(key: SagaKey): Promise<Saga | undefined>;
  insert(
    saga: { id: string; accountId: number; idempotencyKey: string | null; orderId: number | null; state: SagaState },
    transaction: Executor,
  ): Promise<void>;
  /** Locks a saga until the transaction ends. */
  lock(key: SagaKey, transaction: Executor): Promise<Saga | undefined>;
  /** Begins anew with a saga that the transaction has locked. */
  restart(saga: Saga, state: SagaState, transaction: Executor): Promise<void>;
  /** Leaves a saga to whoever comes first when its time has come, where nobody else has leased it since. */
  giveUp(lease: Lease): Promise<void>;
  /** Nobody here looks after it any more. */
  leave(saga: Saga, transaction: Executor): Promise<void>;
  /** Writes what has become known of a saga that the transaction has locked. */
  write(saga: Saga, happenings: readonly Happening[], transaction: Executor, by: Writer): Promise<Saga>;
};

const columns = `id, account_id AS accountId, idempotency_key AS idempotencyKey, order_id AS orderId, state, due_at AS dueAt,
  lease_token AS leaseToken, created_at AS createdAt`;

/** How often a decision is made anew that another one was quicker than. */
const MOST_CONFLICTS = 3;

export function createSagaStore({
  pool,
  fenced,
  clock,
  timings,
  leaseMs,
}: {
  pool: Pool;
  fenced: Fenced;
  clock: Clock;
  timings: Timings;
  leaseMs: number;
}): SagaStore {
  const find = async (db: Executor, key: SagaKey, lock: string): Promise<Saga | undefined> => {
    const [column, value] = 'id' in key ? ['id', key.id] : ['order_id', key.orderId];
    const [row] = await select<Saga>(db, `SELECT ${columns} FROM sagas WHERE ${column} = ?${lock}`, [value]);
    return row && { ...row, state: fromJson(row.state) as SagaState };
  };

  const dueOf = ({ dueAt }: Saga, by: Writer, atMs: number): Date => {
    // Who has the lease may have the card, and must not be robbed of it by a fact that comes from elsewhere.
    if (by === 'another' && dueAt !== null) return dueAt;
    return new Date(by === 'driver' ? atMs + leaseMs : atMs);
  };

  const store: SagaStore = {
    async inTransaction(work) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await fenced(() => withTransaction(pool, 'READ COMMITTED', work));
        } catch (error) {
          if (!(error instanceof VersionConflict) || attempt === MOST_CONFLICTS) throw error;
        }
      }
    },
    read: (key) => find(pool, key, ''),
    lock: (key, transaction) => find(transaction, key, ' FOR UPDATE'),
    async insert({ id, accountId, idempotencyKey, orderId, state }, transaction) {
      const now = clock.now();
      await change(
        transaction,
        `INSERT INTO sagas (id, account_id, idempotency_key, order_id, state, due_at, lease_token, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)`,
        [id, accountId, idempotencyKey, orderId, JSON.stringify(state), new Date(now.getTime() + leaseMs), now, now],
      );
    },
    async restart({ id }, state, transaction) {
      const now = clock.now();
      await change(transaction, 'UPDATE sagas SET state = ?, due_at = ?, updated_at = ? WHERE id = ?', [
        ...[JSON.stringify(state), now, now, id],
      ]);
    },
    giveUp: ({ sagaId, leaseToken }) =>
      store.inTransaction(async (transaction) => {
        const saga = await store.lock({ id: sagaId }, transaction);
        if (saga?.leaseToken === leaseToken) await store.write(saga, [], transaction, 'nobody');
      }),
    async leave({ id }, transaction) {
      await change(transaction, 'UPDATE sagas SET due_at = NULL, updated_at = ? WHERE id = ?', [clock.now(), id]);
    },
    async write(saga, happenings, transaction, by) {
      const now = clock.now();
      const nowMs = now.getTime();
      const state = happenings.reduce((known, one) => after(known, one, nowMs, timings), saga.state);
      const next = plan(state, nowMs, timings);
      const atMs = next.kind === 'wait' ? next.untilMs : nowMs;
      const dueAt = next.kind === 'ended' ? null : dueOf(saga, by, atMs);
      await change(transaction, 'UPDATE sagas SET order_id = ?, state = ?, due_at = ?, updated_at = ? WHERE id = ?', [
        ...[saga.orderId, JSON.stringify(state), dueAt, now, saga.id],
      ]);
      for (const happening of happenings.filter((one) => isStep(one, saga.state, state))) {
        const values = [saga.id, JSON.stringify(happening), now];
        await change(transaction, 'INSERT INTO saga_steps (saga_id, happened, at) VALUES (?, ?, ?)', values);
      }
      return { ...saga, state, dueAt };
    },
  };
  return store;
}

/** That nobody has anything to say yet is no step: it may be heard for an hour. */
function isStep({ kind }: Happening, before: SagaState, state: SagaState): boolean {
  if (kind === 'no answer' || kind === 'no payment' || kind === 'payment') return before.payment !== state.payment;
  return true;
}

/** The right to drive a saga. */
export type Lease = { sagaId: string; leaseToken: number };

/** Leases sagas whose time has come, at most `limit`; those that another instance is leasing just now are passed by. */
export function claimDue(pool: Pool, now: Date, limit: number, leaseMs: number): Promise<Lease[]> {
  return claim(pool, 'due_at <= ? ORDER BY due_at LIMIT ?', [now, limit], new Date(now.getTime() + leaseMs));
}

/** Leases one saga whoever has it, for whoever brings its card or a reason to look at it. */
export async function claimOne(pool: Pool, sagaId: string, now: Date, leaseMs: number): Promise<Lease | undefined> {
  const [lease] = await claim(pool, 'id = ? AND due_at IS NOT NULL', [sagaId], new Date(now.getTime() + leaseMs));
  return lease;
}

function claim(pool: Pool, where: string, values: unknown[], until: Date): Promise<Lease[]> {
  return withTransaction(pool, 'READ COMMITTED', async (transaction) => {
    const sql = `SELECT id AS sagaId, lease_token AS leaseToken FROM sagas WHERE ${where} FOR UPDATE SKIP LOCKED`;
    const due = await select<Lease>(transaction, sql, values);
    const leases = due.map(({ sagaId, leaseToken }) => ({ sagaId, leaseToken: leaseToken + 1 }));
    for (const { sagaId, leaseToken } of leases) {
      const sqlUpdate = 'UPDATE sagas SET due_at = ?, lease_token = ? WHERE id = ?';
      await change(transaction, sqlUpdate, [until, leaseToken, sagaId]);
    }
    return leases;
  });
}
