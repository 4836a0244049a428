import { change, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { type CheckTimings, waitMs } from '../payment/timings.ts';

/** The right to ask about a payment until the lease ends. What is decided from silence needs `leaseToken` still to be the payment's. */
export type Lease = { paymentId: number; leaseToken: number };

type Due = { id: number; checks: number; leaseToken: number };

const columns = 'id, checks, lease_token AS leaseToken';

/** Leases payments whose time has come, at most `limit`; those that another instance is leasing just now are passed by. */
export function claimDue(pool: Pool, now: Date, limit: number, timings: CheckTimings): Promise<Lease[]> {
  return withTransaction(pool, 'READ COMMITTED', async (transaction) => {
    const due = await select<Due>(
      transaction,
      `SELECT ${columns} FROM payments WHERE check_at <= ? ORDER BY check_at LIMIT ? FOR UPDATE SKIP LOCKED`,
      [now, limit],
    );
    const leases: Lease[] = [];
    for (const { id, checks, leaseToken } of due) {
      const until = new Date(now.getTime() + waitMs(checks, timings));
      await change(transaction, 'UPDATE payments SET check_at = ?, checks = checks + 1, lease_token = ? WHERE id = ?', [
        until,
        leaseToken + 1,
        id,
      ]);
      leases.push({ paymentId: id, leaseToken: leaseToken + 1 });
    }
    return leases;
  });
}

/** Leases one payment before its time; undefined where there is nothing to ask about it. */
export function claimOne(pool: Pool, paymentId: number, now: Date, timings: CheckTimings): Promise<Lease | undefined> {
  return withTransaction(pool, 'READ COMMITTED', async (transaction) => {
    const sql = `SELECT ${columns} FROM payments WHERE id = ? AND check_at IS NOT NULL FOR UPDATE SKIP LOCKED`;
    const [found] = await select<Due>(transaction, sql, [paymentId]);
    if (found === undefined) return undefined;
    const until = new Date(now.getTime() + waitMs(found.checks, timings));
    const leaseToken = found.leaseToken + 1;
    // Asked is asked: while the provider is away the waits grow from the first time on.
    const sqlUpdate = 'UPDATE payments SET check_at = ?, checks = checks + 1, lease_token = ? WHERE id = ?';
    await change(transaction, sqlUpdate, [until, leaseToken, paymentId]);
    return { paymentId, leaseToken };
  });
}
