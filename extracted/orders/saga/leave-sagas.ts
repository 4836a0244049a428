import { Counter } from 'prom-client';
import { NoAnswer } from '../neighbours/no-answer.ts';
import { planToLeave } from './leave.ts';
import type { Performed } from './perform.ts';
import type { SagaRunnerParts } from './saga-runner.ts';
import { claimDue, type Lease, type SagaStore } from './saga-store.ts';

export type LeavingParts = Pick<
  SagaRunnerParts,
  'pool' | 'perform' | 'clock' | 'log' | 'metrics' | 'timings' | 'leaseMs' | 'capacity'
> & {
  /** Past the fence: nothing is written but what sagas know. */
  store: SagaStore;
  /** The orders are another's, for good until the flags say otherwise. */
  isAway(): boolean;
};

/**
 * Ends the sagas that were under way when the orders went to another; gives how many were looked at. What somebody still has a lease of
 * is left alone until that is over.
 */
export function createLeaving(parts: LeavingParts): { runOnce(): Promise<number> } {
  const { pool, store, perform, clock, log, timings, leaseMs, capacity, isAway } = parts;
  const left = new Counter({
    name: 'orders_sagas_left_total',
    help: 'Sagas whose orders were another\u2019s and that were ended for that, by what became of them: left, short, ended',
    labelNames: ['outcome'],
    registers: [parts.metrics],
  });

  /** One step; false where there is nothing to be done now. */
  const step = async ({ sagaId, leaseToken }: Lease): Promise<boolean> => {
    const saga = await store.read({ id: sagaId });
    if (saga === undefined || saga.leaseToken !== leaseToken) return false;
    // They came back meanwhile: whoever drives sagas must not have to wait for the lease's end.
    if (!isAway()) {
      await store.giveUp({ sagaId, leaseToken });
      return false;
    }
    const next = planToLeave(saga.state, clock.now().getTime(), timings);
    if (next.kind === 'do' || next.kind === 'know') {
      const performed: Performed =
        next.kind === 'know'
          ? next.happening
          : await perform(next.command, saga, undefined).catch((error: unknown) => {
              if (!(error instanceof NoAnswer)) throw error;
              log.warn({ err: error, sagaId, command: next.command }, 'a saga cannot be left yet; it is asked again');
              return { kind: 'no answer' } as const;
            });
      return store.inTransaction(async (transaction) => {
        const locked = await store.lock({ id: sagaId }, transaction);
        if (locked?.leaseToken !== leaseToken) return false;
        const found = typeof performed === 'function' ? await performed(locked, transaction) : performed;
        await store.write(locked, [found].flat(), transaction, 'nobody');
        return true;
      });
    }
    if (next.kind === 'wait') {
      await store.giveUp({ sagaId, leaseToken });
      return false;
    }
    await store.inTransaction(async (transaction) => {
      const locked = await store.lock({ id: sagaId }, transaction);
      if (locked?.leaseToken === leaseToken) await store.leave(locked, transaction);
    });
    const isShort = next.kind === 'left' && saga.state.stock !== 'sold';
    left.inc({ outcome: isShort ? 'short' : next.kind });
    if (isShort) {
      const { orderId } = saga;
      log.error({ sagaId, orderId }, 'an order that is another\u2019s now has no stock; cancel it, or add stock');
    }
    return false;
  };

  const leaveSafely = async (lease: Lease): Promise<void> => {
    try {
      while (await step(lease)) {}
    } catch (error) {
      log.error(
        { err: error, sagaId: lease.sagaId },
        'a saga could not be left; it is tried again when its lease is over',
      );
    }
  };

  return {
    async runOnce() {
      if (!isAway()) return 0;
      const leases = await claimDue(pool, clock.now(), capacity, leaseMs);
      await Promise.all(leases.map(leaveSafely));
      return leases.length;
    },
  };
}
