import { pause } from '@strangler/platform/backoff.ts';
import type { FenceOwner } from '@strangler/platform/contracts/fence-refusal.ts';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { cannotConvertString, rowsOf } from '../schema/queryable.ts';
import { type FenceHolder, readHolders, readPrepared } from './fence-holders.ts';
import { drawPass, type Fence, type FenceState, fenceTable, NoFenceError, readFence } from './fence-state.ts';

export type FenceMove = {
  slice: string;
  /** Under which it is moved, at least that of the last move. */
  epoch: number;
  /** Whose tables they are from now on: told to whoever is refused. */
  owner: FenceOwner;
  /**
   * How long to wait for the transactions under way, 2000 ms unless told. Meanwhile new writers wait behind, so it should
   * be below their own lock wait time-outs.
   */
  waitMs?: number;
  /** Kept with the fence, at most 255 characters. */
  reason?: string;
  /**
   * Ends the connections that hold a closed fence when `waitMs` is over, and waits 1 s more. A transaction whose write was
   * refused keeps its lock until it is rolled back, which a person at a prompt may put off for hours; under a closed
   * fence it has written nothing of the slice, and the pipe repeats what is cut off. false unless told; without effect
   * on a fence that is open, and where the account may not see or end them.
   */
  evict?: boolean;
};

/** What became of a move, and the fence as it is now; after `busy` it is as it was, but for its epoch. */
export type FenceMoveOutcome =
  /** Committed: no transaction is left that has seen the fence otherwise. `deadlocks`: how often the wait began anew. */
  | { kind: 'moved'; fence: Fence; waitedMs: number; deadlocks: number; preparedSeen: boolean }
  /** Others did not end in time; null: who they are cannot be seen with this account's privileges. */
  | { kind: 'busy'; fence: Fence; waitedMs: number; deadlocks: number; holders: readonly FenceHolder[] | null };

/** A move under an epoch that is over; the fence is another's now. */
export class FenceEpochError extends Error {
  override name = 'FenceEpochError';
}

/** The server was lost while the fence was moved: it may have been moved. Read it back; never guess. */
export class FenceOutcomeUnknown extends Error {
  override name = 'FenceOutcomeUnknown';
}

/**
 * Refuses every write to the slice's tables from now on but those of sessions of the pipe that present the new pass.
 * When it returns `moved`, every transaction that had written under the open fence has ended and every later write is
 * refused. Closing what is closed under the same epoch keeps the pass.
 *
 * The UPDATE waits for the shared locks of all that have written and lets later ones queue behind it. A prepared XA
 * transaction is waited for by looking, as MariaDB gives its shared locks up at XA PREPARE and MySQL at a restart; with
 * `preparedSeen: false` the account could not look. The pool gives two connections: one waits, the other looks at the clock.
 * @throws NoFenceError, FenceEpochError, FenceOutcomeUnknown
 */
export const closeFence = (pool: Pool, move: FenceMove): Promise<FenceMoveOutcome> => moveFence(pool, 'closed', move);

/**
 * Lets every write through again but those of the pipe, whose transactions under way it waits for.
 * @throws NoFenceError, FenceEpochError, FenceOutcomeUnknown
 */
export const openFence = (pool: Pool, move: FenceMove): Promise<FenceMoveOutcome> => moveFence(pool, 'open', move);

type Sql = [text: string, values: unknown[]];

type Attempt = { kind: 'done'; matched: number } | { kind: 'timed-out'; holders: FenceHolder[] | null };

const interrupted = new Set([1205, 1317, 1969, 3024]);
const deadlock = 1213;

/** How long ended connections have to roll back. */
const evictionMs = 1000;

/** Pooled connections that may turn out to be dead before one is given up on. */
const mostDeadConnections = 5;

/** A session that waits for locks as long as a move may take. What the pool does not know to be dead is found out here. */
async function openSession(pool: Pool, waitMs: number): Promise<PoolConnection> {
  const seconds = Math.ceil((waitMs + evictionMs) / 1000) + 1;
  for (let dead = 0; ; dead += 1) {
    const connection = await pool.getConnection();
    try {
      await connection.query(
        `SET SESSION innodb_lock_wait_timeout = ${seconds}, lock_wait_timeout = ${seconds}, autocommit = 1`,
      );
      return connection;
    } catch (error) {
      connection.destroy();
      if (dead >= mostDeadConnections) throw error;
    }
  }
}

async function moveFence(pool: Pool, to: FenceState, move: FenceMove): Promise<FenceMoveOutcome> {
  const { slice, epoch, waitMs = 2000, evict = false } = move;
  const mover = new Mover(pool, await openSession(pool, waitMs), waitMs);
  const now = async (): Promise<Fence> => {
    const fence = await readFence(pool, slice);
    if (fence !== undefined) return fence;
    throw new NoFenceError(`${slice}: expected its row in ${fenceTable}, found none; install the fence first`);
  };
  try {
    const before = await now();
    if (before.epoch > epoch) throw stale(move, before);
    const early = to === 'closed' ? await mover.awaitPrepared() : [];
    if (early !== null && early.length > 0) return mover.busy(before, early);

    const pass = to === 'closed' ? drawPass() : null;
    const attempt = await mover.update(moveSql(to, move, pass), evict && before.state === 'closed', async () => {
      const after = await now();
      const same = before.state === to && before.epoch === epoch;
      return (
        after.state === to && after.epoch === epoch && (same || pass === null || (await hasPass(pool, slice, pass)))
      );
    });
    const after = await now();
    if (attempt.kind === 'timed-out') return mover.busy(after, attempt.holders);
    if (attempt.matched === 0) throw stale(move, after);
    if (to === 'open') return mover.moved(after, true);

    // Whoever wrote under the open fence and prepared before the UPDATE is seen now; nobody can come after.
    const late = await mover.awaitPrepared();
    if (late === null || late.length === 0) return mover.moved(after, late !== null);
    if (before.state === 'closed') return mover.busy(after, late);
    const reopened = await openFence(pool, { ...move, owner: before.owner, reason: before.reason, evict: true });
    return mover.busy(reopened.fence, late);
  } finally {
    await mover.end();
  }
}

/** One session that moves a fence, and the clock it does it by. */
class Mover {
  readonly #pool: Pool;
  readonly #connection: PoolConnection;
  readonly #waitMs: number;
  readonly #startedMs = performance.now();
  #deadlocks = 0;
  #struck = false;

  constructor(pool: Pool, connection: PoolConnection, waitMs: number) {
    this.#pool = pool;
    this.#connection = connection;
    this.#waitMs = waitMs;
  }

  /**
   * Runs the UPDATE until it is done or the time is over. `happened` looks whether it was done when that was not answered.
   * A deadlock (a writer that waits behind this UPDATE holds a row that one waits for whom it waits for) is always broken
   * by ending this UPDATE: it holds nothing and has changed nothing, and InnoDB ends the transaction of least weight.
   */
  async update([sql, values]: Sql, evict: boolean, happened: () => Promise<boolean>): Promise<Attempt> {
    for (;;) {
      let holders: FenceHolder[] | null = null;
      const done = new AbortController();
      const end = async (): Promise<void> => {
        if ((await pause(this.#leftMs, done.signal)) === 'aborted') return;
        this.#struck = true;
        holders = await readHolders(this.#pool, this.#connection.threadId);
        // MariaDB shows waits as they were, for as long as somebody asks more often than every 0.1 s.
        for (let looks = 0; evict && holders?.length === 0 && looks < 4; looks += 1) {
          if ((await pause(150, done.signal)) === 'aborted') return;
          holders = await readHolders(this.#pool, this.#connection.threadId);
        }
        if (evict && holders !== null) {
          for (const { connection } of holders) {
            if (connection !== null) await this.#pool.query(`KILL ${connection}`).catch(() => {});
          }
          if ((await pause(evictionMs, done.signal)) === 'aborted') return;
        }
        await this.#pool.query(`KILL QUERY ${this.#connection.threadId}`).catch(() => {});
      };
      const ended = end();
      try {
        const [result] = await this.#connection.query(sql, values);
        return { kind: 'done', matched: (result as { affectedRows: number }).affectedRows };
      } catch (error) {
        const errno = (error as { errno?: number }).errno ?? 0;
        if (interrupted.has(errno)) return { kind: 'timed-out', holders };
        if (errno === deadlock) {
          this.#deadlocks += 1;
          if (this.#leftMs > 0) continue;
          return { kind: 'timed-out', holders };
        }
        if (errno > 0 && (error as { fatal?: boolean }).fatal !== true) throw error;
        this.#struck = true;
        return await this.#readBack(error, happened);
      } finally {
        done.abort();
        await ended;
      }
    }
  }

  /** Waits for the prepared transactions that are there now; those left when the time is over, null: cannot be seen. */
  async awaitPrepared(): Promise<FenceHolder[] | null> {
    let left = await readPrepared(this.#pool);
    const names = new Set(left?.map(({ name }) => name));
    while (left !== null && left.length > 0 && this.#leftMs > 0) {
      await pause(Math.min(5, this.#leftMs));
      left = (await readPrepared(this.#pool))?.filter(({ name }) => names.has(name)) ?? null;
    }
    return left;
  }

  /** The connection is gone; its statement may still wait on the server, and would be done later. */
  async #readBack(cause: unknown, happened: () => Promise<boolean>): Promise<Attempt> {
    const id = this.#connection.threadId;
    try {
      await this.#pool.query(`KILL ${id}`).catch(() => {});
      for (let looks = 0; ; looks += 1) {
        if (!(await isConnected(this.#pool, id))) break;
        if (looks >= 100) throw new Error(`the session ${id} is still there`);
        await pause(20);
      }
      return (await happened()) ? { kind: 'done', matched: 1 } : { kind: 'timed-out', holders: null };
    } catch (error) {
      throw new FenceOutcomeUnknown(
        `the fence: expected an answer to its UPDATE, found the connection lost and no other (${(error as Error).message}); read the fence back before anything else`,
        { cause },
      );
    }
  }

  /** Gives the session back as it was; it is not made anew for the next move. */
  async end(): Promise<void> {
    // A KILL QUERY may still be on its way to it.
    if (this.#struck) return this.#connection.destroy();
    try {
      await this.#connection.query('SET SESSION innodb_lock_wait_timeout = DEFAULT, lock_wait_timeout = DEFAULT');
      this.#connection.release();
    } catch {
      this.#connection.destroy();
    }
  }

  moved(fence: Fence, preparedSeen: boolean): FenceMoveOutcome {
    return { kind: 'moved', fence, waitedMs: this.#elapsedMs, deadlocks: this.#deadlocks, preparedSeen };
  }

  busy(fence: Fence, holders: readonly FenceHolder[] | null): FenceMoveOutcome {
    return { kind: 'busy', fence, waitedMs: this.#elapsedMs, deadlocks: this.#deadlocks, holders };
  }

  get #elapsedMs(): number {
    return Math.round((performance.now() - this.#startedMs) * 10) / 10;
  }

  get #leftMs(): number {
    return Math.max(0, this.#waitMs - (performance.now() - this.#startedMs));
  }
}

const isConnected = async (pool: Pool, id: number): Promise<boolean> => {
  try {
    const [alive] = await rowsOf(pool, 'SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ?', [id]);
    return alive !== undefined;
  } catch (error) {
    if ((error as { errno?: number }).errno !== cannotConvertString) throw error;
    return true;
  }
};

const moveSql = (to: FenceState, { slice, epoch, owner, reason = '' }: FenceMove, pass: string | null): Sql => [
  // Assignments see those before them.
  `UPDATE ${fenceTable}
   SET pass = IF(? = 'closed' AND state = 'closed' AND epoch = ?, pass, ?),
       closed_at = CASE WHEN ? = 'open' THEN NULL WHEN state = 'closed' THEN closed_at ELSE UTC_TIMESTAMP(6) END,
       state = ?, epoch = ?, owner = ?, reason = ?, changed_at = UTC_TIMESTAMP(6)
   WHERE slice = ? AND epoch <= ?`,
  [to, epoch, pass, to, to, epoch, owner, reason.slice(0, 255), slice, epoch],
];

const hasPass = async (pool: Pool, slice: string, pass: string): Promise<boolean> =>
  (await rowsOf(pool, `SELECT 1 FROM ${fenceTable} WHERE slice = ? AND pass = ?`, [slice, pass])).length === 1;

const stale = ({ slice, epoch }: FenceMove, fence: Fence): FenceEpochError =>
  new FenceEpochError(
    `${slice}: expected an epoch of at least ${fence.epoch}, that of the fence's last move, found ${epoch}; ` +
      'another operation has moved it since: read the flag and the fence before anything else',
  );
