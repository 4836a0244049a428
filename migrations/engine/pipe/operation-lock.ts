import { createHash } from 'node:crypto';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';

/** Another operation works on the same slice. */
export class OperationUnderWay extends Error {
  override name = 'OperationUnderWay';
}

/** The session that held the lock has ended: another operation may have begun. */
export class OperationLockLost extends Error {
  override name = 'OperationLockLost';
}

export type OperationLockOptions = {
  /** How long to wait for another to end, whole seconds, 2 unless told: the server takes a moment to see that a killed one is gone. */
  waitSeconds?: number;
  /** How often to see that the lock is still held, 20 s unless told; a session that says nothing for long is ended by the server. */
  lookEveryMs?: number;
};

/** Locks are of the server: the name says database and slice. At most 64 characters. */
export const operationLockName = (database: string, slice: string): string => {
  const name = `strangler.${slice}.${database}`;
  return name.length <= 64 ? name : `strangler.${createHash('sha256').update(name).digest('hex').slice(0, 48)}`;
};

/**
 * Runs `work` while no other operation works on the slice, whoever has begun it and wherever: the lock is one of the
 * source's server and ends with this process. `what` is the operation, for the refusal. `lost` is aborted when the lock
 * is: `work` should end then.
 * @throws OperationUnderWay naming the connection that holds it; OperationLockLost after `work` when it was lost
 */
export async function withOperationLock<T>(
  pool: Pool,
  slice: string,
  what: string,
  work: (lost: AbortSignal) => Promise<T>,
  { waitSeconds = 2, lookEveryMs = 20_000 }: OperationLockOptions = {},
): Promise<T> {
  const [at] = await rowsOf<{ name: string }>(pool, 'SELECT DATABASE() AS name');
  const lock = operationLockName(at?.name ?? '', slice);
  const connection = await pool.getConnection();
  const lost = new AbortController();
  let looking: Promise<void> | undefined;
  let looks: NodeJS.Timeout | undefined;
  try {
    const [got] = await rowsOf<{ got: number | null }>(connection, 'SELECT GET_LOCK(?, ?) AS got', [lock, waitSeconds]);
    if (got?.got !== 1) throw new OperationUnderWay(await sayHeld(connection, lock, slice, what));
    const look = async () => {
      if (!(await isMine(connection, lock))) lost.abort();
    };
    looks = setInterval(() => {
      looking ??= look().finally(() => {
        looking = undefined;
      });
    }, lookEveryMs);
    const result = await work(lost.signal);
    await look();
    if (lost.signal.aborted) {
      throw new OperationLockLost(
        `${slice}: expected the lock ${lock} to be held until ${what} ended, found it lost; ` +
          'another operation may have begun meanwhile: look at "strangler status", then run this again',
      );
    }
    return result;
  } finally {
    clearInterval(looks);
    await looking;
    // The end of the session would be the end of the lock, too, but the server takes its time.
    await connection.query({ sql: 'DO RELEASE_LOCK(?)', values: [lock], timeout: answerMs }).catch(() => {});
    connection.destroy();
  }
}

/** A server that does not answer for so long may have given the lock to another. */
const answerMs = 10_000;

async function isMine(connection: PoolConnection, lock: string): Promise<boolean> {
  const sql = 'SELECT IS_USED_LOCK(?) <=> CONNECTION_ID() AS mine';
  try {
    const [rows] = await connection.query({ sql, values: [lock], timeout: answerMs });
    return (rows as { mine: number }[])[0]?.mine === 1;
  } catch {
    return false;
  }
}

async function sayHeld(connection: PoolConnection, lock: string, slice: string, what: string): Promise<string> {
  const [holder] = await rowsOf<{ id: number | null }>(connection, 'SELECT IS_USED_LOCK(?) AS id', [lock]);
  const id = holder?.id ?? null;
  const sessions = await rowsOf<{ Id: number; User: string; Host: string }>(connection, 'SHOW PROCESSLIST');
  const session = sessions.find(({ Id }) => Number(Id) === Number(id));
  const who = session === undefined ? '' : ` (${session.User} from ${session.Host})`;
  const held = id === null ? 'one that has just ended' : `connection ${id}${who}`;
  return (
    `${what} of ${slice}: expected no other operation on ${slice}, found its lock ${lock} held by ${held}; ` +
    'wait for that one to end, or end it, and run this again: nothing was changed'
  );
}
