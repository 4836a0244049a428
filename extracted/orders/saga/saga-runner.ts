import { pause } from '@strangler/platform/backoff.ts';
import { watchOldest } from '@strangler/platform/http/oldest-age.ts';
import type { Log } from '@strangler/platform/log.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { KillPoint } from '../faults/kill-point.ts';
import { NoAnswer } from '../neighbours/no-answer.ts';
import type { Perform, Performed } from './perform.ts';
import { type Command, plan, type Timings } from './saga-state.ts';
import { claimDue, claimOne, type Lease, type Saga, type SagaStore } from './saga-store.ts';

/** Drives sagas, those that it is given and those whose time has come. Any number of instances share the work. */
export type SagaRunner = {
  start(): void;
  /** Drives every saga whose time has come, and gives how many there were. */
  runOnce(): Promise<number>;
  /** Drives one that was inserted just now, with its card: until it ends, or the card is not kept any longer. */
  begin(lease: Lease, cardToken: string): void;
  /** Looks at one soon, whoever has it; `cardToken` where the customer has brought the card again. */
  soon(sagaId: string, cardToken?: string): void;
  /** The saga as soon as it is `enough`, or as it is after so long. */
  until(sagaId: string, enough: (saga: Saga) => boolean, withinMs: number, signal?: AbortSignal): Promise<Saga>;
  stop(): Promise<void>;
};

/** How often somebody who waits looks for what another instance has done. */
const lookEveryMs = 200;

/** When a saga is looked at again that could not be driven on. */
const putByMs = 1_000;

export type SagaRunnerParts = {
  pool: Pool;
  store: SagaStore;
  perform: Perform;
  clock: Clock;
  log: Log;
  metrics: Registry;
  timings: Timings;
  leaseMs: number;
  everyMs: number;
  capacity: number;
  /** How long a card's token is kept in this process, which is the only place where it is. */
  cardKeptMs: number;
  killPoint: KillPoint;
  /** False: the orders are another's to look after. */
  isOwner(): boolean;
};

export function createSagaRunner(parts: SagaRunnerParts): SagaRunner {
  const { pool, store, perform, clock, log, timings, leaseMs, killPoint } = parts;
  const underWay = new Set<Promise<void>>();
  const listeners = new Map<string, Set<() => void>>();
  const stopping = new AbortController();
  let job: RepeatedJob | undefined;
  const steps = new Counter({
    name: 'orders_saga_steps_total',
    help: 'Steps of sagas: done, unanswered, or lost to another instance',
    labelNames: ['command', 'outcome'],
    registers: [parts.metrics],
  });
  watchOldest({
    ...{ name: 'orders_oldest_saga_age_seconds', help: 'Age of the oldest saga that has not ended' },
    async oldest() {
      const sql = 'SELECT MIN(created_at) AS oldest FROM sagas WHERE due_at IS NOT NULL';
      const [row] = await select<{ oldest: Date | null }>(pool, sql);
      return row?.oldest ?? null;
    },
    ...{ clock, log, metrics: parts.metrics },
  });

  /** Writes a step down. What follows from silence counts only under the newest lease. */
  const record = (lease: Lease, performed: Performed, own?: Command): Promise<Saga | undefined> =>
    store.inTransaction(async (transaction) => {
      const saga = await store.lock({ id: lease.sagaId }, transaction);
      if (saga === undefined) return undefined;
      const isMine = saga.leaseToken === lease.leaseToken;
      if (!isMine && isSilence(performed)) return undefined;
      if (own !== undefined && !isDue(own, saga)) return undefined;
      const found = typeof performed === 'function' ? await performed(saga, transaction) : performed;
      return store.write(saga, [found].flat(), transaction, isMine ? 'driver' : 'another');
    });

  /** What is done in the transaction itself is done only where it is still to be done: somebody else may have been quicker. */
  const isDue = (command: Command, { state }: Saga): boolean => {
    const next = plan(state, clock.now().getTime(), timings);
    return next.kind === 'do' && next.command === command;
  };

  const step = async (lease: Lease, saga: Saga, cardToken: string | undefined): Promise<boolean> => {
    const next = plan(saga.state, clock.now().getTime(), timings);
    if (next.kind === 'ended') return false;
    if (next.kind === 'wait') {
      if (cardToken === undefined) return false;
      const waitMs = Math.max(1, next.untilMs - clock.now().getTime());
      return (await pause(waitMs, stopping.signal)) === 'elapsed';
    }
    const { command } = next;
    const { goal, order } = saga.state;
    if (goal === 'sell' && order === 'none' && cardToken === undefined) {
      return (await record(lease, { kind: 'card lost' })) !== undefined;
    }
    killPoint(`before ${command}`);
    let performed: Performed;
    try {
      performed = await perform(command, saga, cardToken);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      log.warn({ err: error, sagaId: saga.id, command }, 'a step of a saga was not answered; it is asked again');
      performed = { kind: 'no answer' };
    }
    killPoint(`after ${command}`);
    const isLost = typeof performed === 'object' && performed.kind === 'no payment' && saga.state.payment !== 'asked';
    if (isLost)
      log.error({ sagaId: saga.id, orderId: saga.orderId }, 'the payments do not know of a payment that there was');
    const written = await record(lease, performed, ownCommands.has(command) ? command : undefined);
    const silent = typeof performed === 'object' && performed.kind === 'no answer';
    steps.inc({ command, outcome: written === undefined ? 'lost' : silent ? 'unanswered' : 'done' });
    for (const listener of listeners.get(saga.id) ?? []) listener();
    return written !== undefined;
  };

  const drive = async (lease: Lease, cardToken: string | undefined): Promise<void> => {
    const cardUntilMs = performance.now() + parts.cardKeptMs;
    const { sagaId, leaseToken } = lease;
    while (!stopping.signal.aborted && parts.isOwner()) {
      const saga = await store.read({ id: sagaId });
      if (saga === undefined || saga.leaseToken !== leaseToken) return;
      const { goal, payment } = saga.state;
      const isNeeded = goal === 'sell' && (payment === 'none' || payment === 'asked');
      const card = isNeeded && performance.now() < cardUntilMs ? cardToken : undefined;
      if (!(await step(lease, saga, card))) break;
    }
    await store.giveUp(lease);
  };

  /** Leaves it for a little later, past the fence, which sagas are not behind. Where even that fails, the lease ends by itself. */
  const putBy = ({ sagaId, leaseToken }: Lease): Promise<unknown> => {
    const sql = 'UPDATE sagas SET due_at = ? WHERE id = ? AND lease_token = ? AND due_at IS NOT NULL';
    return change(pool, sql, [new Date(clock.now().getTime() + putByMs), sagaId, leaseToken]);
  };

  const driveSafely = async (lease: Lease, cardToken?: string): Promise<void> => {
    try {
      await drive(lease, cardToken);
    } catch (error) {
      log.error({ err: error, sagaId: lease.sagaId }, 'a saga could not be driven on');
      await putBy(lease).catch(() => {});
    } finally {
      for (const listener of listeners.get(lease.sagaId) ?? []) listener();
    }
  };
  const track = (work: Promise<void>): void => {
    const tracked = work.finally(() => underWay.delete(tracked));
    underWay.add(tracked);
  };

  const runOnce = async (): Promise<number> => {
    let driven = 0;
    while (!stopping.signal.aborted && parts.isOwner()) {
      const leases = await claimDue(pool, clock.now(), parts.capacity, leaseMs);
      await Promise.all(leases.map((lease) => driveSafely(lease)));
      driven += leases.length;
      if (leases.length < parts.capacity) break;
    }
    return driven;
  };

  return {
    runOnce,
    start() {
      job = repeat('sagas', parts.everyMs, log, async () => void (await runOnce()));
    },
    begin: (lease, cardToken) => track(driveSafely(lease, cardToken)),
    soon(sagaId, cardToken) {
      if (stopping.signal.aborted || !parts.isOwner()) return;
      const work = claimOne(pool, sagaId, clock.now(), leaseMs)
        .then((lease) => lease && driveSafely(lease, cardToken))
        .catch((error: unknown) => log.error({ err: error, sagaId }, 'a saga could not be leased'));
      track(work);
    },
    async until(sagaId, enough, withinMs, signal) {
      const deadline = performance.now() + withinMs;
      for (;;) {
        const told = new AbortController();
        const own = listeners.get(sagaId) ?? new Set();
        listeners.set(sagaId, own);
        const tell = () => told.abort();
        own.add(tell);
        try {
          const saga = await store.read({ id: sagaId });
          if (saga === undefined) throw new Error(`there is no saga ${sagaId}`);
          const leftMs = deadline - performance.now();
          if (enough(saga) || leftMs <= 0 || signal?.aborted || stopping.signal.aborted) return saga;
          await pause(Math.min(lookEveryMs, leftMs), told.signal);
        } finally {
          own.delete(tell);
          if (own.size === 0) listeners.delete(sagaId);
        }
      }
    },
    async stop() {
      stopping.abort();
      await job?.stop();
      await Promise.all(underWay);
    },
  };
}

/** Of the orders themselves; everything else is asked of others. */
const ownCommands: ReadonlySet<Command> = new Set<Command>(['place order', 'pay order', 'cancel order']);

function isSilence(performed: Performed): boolean {
  return typeof performed === 'object' && ['no answer', 'no payment', 'card lost'].includes(performed.kind);
}
