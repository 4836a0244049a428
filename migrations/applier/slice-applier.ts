import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import { boundedLog } from '@strangler/platform/bounded-log.ts';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import type { Log } from '@strangler/platform/log.ts';
import { consume } from '@strangler/platform/outbox/consumer.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { traceBatch } from '@strangler/platform/tracing/messages.ts';
import type { Registry } from 'prom-client';
import { type Applier, createApplier, type RefusedChange, type StreamBatch } from '../engine/apply/applier.ts';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import { applyConsumerName } from '../engine/pipe/apply-consumer.ts';
import { canaryTable } from '../engine/pipe/canary.ts';
import type { PipeDatabases } from '../engine/pipe/open-databases.ts';
import type { Announcement, Announcer } from './announce.ts';
import { type ApplyFault, applyFaultOf, Hindrance, type Trouble } from './faults.ts';
import { createGather, type PartBatch } from './gather.ts';
import type { ApplierMetrics } from './metrics.ts';
import { missingQueue } from './queues.ts';
import { announcementsOf, isTold, readMessage } from './told-changes.ts';

/** Takes a slice's changes from its queues and applies them, with the mapping that it was begun with. */
export type SliceApplier = {
  /** Resolves when it cannot go on as it is and has to be begun anew: mapping or queues are others than they were. */
  readonly ended: Promise<Trouble>;
  /** What keeps it from its work at the moment; undefined when nothing does. */
  trouble(): Trouble | undefined;
  /** Takes nothing more, and waits for what is under way `graceMs` at most. What was not applied comes again, to somebody. */
  stop(graceMs: number): Promise<void>;
};

export type SliceApplierOptions = {
  databases: PipeDatabases;
  tables: readonly MappedTable[];
  rabbit: RabbitConnection;
  exchange: string;
  announcer: Announcer;
  log: Log;
  metrics: ApplierMetrics;
  registry: Registry;
  /** Whether a table that is not among `tables`, because its copying had ended, is copied again. Asked when a change of one comes. */
  isCopiedAgain(source: string): Promise<boolean>;
};

/** Messages that are handled together, and that the broker hands out ahead, of a part. */
const maxBatch = 500;
const prefetch = 1_000;
/** One transaction after the other costs least; beside a second one, a row that somebody keeps locked holds up few others. */
const workers = 2;
/** Two of a part at a time: one is applied while the other is announced. They never have a key in common. */
const batchesInHand = 2;
/** A transaction that takes longer has lost its server, whatever the connection says. */
const answerTimeoutMs = 60_000;
const lookEveryMs = 250;

export function startSliceApplier(options: SliceApplierOptions): SliceApplier {
  const { databases, tables, rabbit, exchange, announcer, metrics } = options;
  const { slice } = databases.slice;
  const log = boundedLog(options.log);
  // Of dead letters each is told.
  const consumerLog: Log = Object.assign(Object.create(log) as Log, { error: options.log.error.bind(options.log) });
  const stopping = new AbortController();
  const { promise: ended, resolve: endWith } = Promise.withResolvers<Trouble>();
  const targetOf = new Map(tables.map(({ mapping }) => [mapping.source, mapping.target]));
  let announcing: Trouble | undefined;

  const applier = applierOf();
  const gather = createGather({
    apply: async (batches) => within(applier.applyTogether(batches.map(streamOf)), answerTimeoutMs),
    whenIdle: () => within(applier.retryParked(), answerTimeoutMs),
    onFault,
    onEnd: (fault) => endWith({ cause: fault.cause, message: fault.message }),
    onGathered: metrics.gathered,
    workers,
  });

  function applierOf(): Applier {
    return createApplier({
      pool: databases.target.apply,
      tables,
      log,
      registry: options.registry,
      // What conflicts for longer is put off and shown.
      maxAttempts: 4,
      floor: applyConsumerName(slice),
      onSettled: (table, changes) =>
        announceOrThrow([
          { table: table.mapping.source, target: table.mapping.target, changes: changes.filter(isTold) },
        ]),
    });
  }

  function onFault({ cause, message }: ApplyFault): void {
    metrics.waited(cause);
    log.warn({ cause, why: message }, 'changes could not be applied; trying again');
  }

  async function announceOrThrow(announcements: readonly Announcement[]): Promise<void> {
    await announcer.announce(announcements);
    for (const { changes } of announcements) metrics.announced(changes.length);
  }

  /** Until the broker has taken it; false when the applier is stopped before that. */
  async function announce(announcements: readonly Announcement[]): Promise<boolean> {
    for (let delayMs: number | undefined; ; ) {
      try {
        await announceOrThrow(announcements);
        announcing = undefined;
        return true;
      } catch (error) {
        const fault = applyFaultOf(error);
        announcing = { cause: 'announcement', message: fault.message };
        metrics.waited('announcement');
        log.warn({ why: fault.message }, 'applied changes could not be announced; trying again');
        delayMs = nextBackoffMs(delayMs ?? 50, { baseMs: 50, capMs: 5_000 });
        if ((await pause(delayMs, stopping.signal)) === 'aborted') return false;
      }
    }
  }

  async function handle(batch: readonly Delivery[]): Promise<Outcome[]> {
    const queue = batch[0]?.queue ?? '';
    const read = batch.map((delivery) => readMessage(delivery, slice));
    const messages = read.flatMap((one) => (one.kind === 'row' ? [one.message] : []));
    const verdicts = new Map<RowMessage, RefusedChange>();
    if (await endsForRevived(messages)) return left(batch);
    if (messages.length > 0) {
      const result = await gather.add({ queue, messages });
      if (result.kind === 'left') return left(batch);
      const { refused, present } = result.report;
      for (const each of refused) verdicts.set(each.message, each);
      const own = new Set(messages);
      const there = present.filter((message) => own.has(message));
      metrics.applied(there.map(({ at }) => Date.now() - Date.parse(at)));
      // Nobody derives anything from the canary.
      const told = there.filter(({ table }) => table !== canaryTable);
      if (!(await announce(announcementsOf(told, targetOf)))) return left(batch);
    }
    const outcomes = read.map((one): Outcome => {
      if (one.kind === 'poison') return { outcome: 'poison', reason: one.reason };
      const verdict = verdicts.get(one.message);
      return verdict === undefined ? 'done' : { outcome: 'poison', reason: verdict.reason };
    });
    metrics.poison(outcomes.filter((outcome) => outcome !== 'done').length);
    return outcomes;
  }

  /** Ends where a change is of a table that somebody has brought back: with the mapping of before it could only be refused. */
  async function endsForRevived(messages: readonly RowMessage[]): Promise<boolean> {
    const unknown = new Set(messages.map(({ table }) => table).filter((table) => !targetOf.has(table)));
    for (const table of unknown) {
      // Who cannot tell begins anew, which finds out.
      if (!(await options.isCopiedAgain(table).catch(() => true))) continue;
      endWith({ cause: 'mapping', message: `${table} is copied again, and was not when this applier began` });
      return true;
    }
    return false;
  }

  const consumer = consume({
    rabbit,
    exchange,
    consumer: { name: applyConsumerName(slice), order: 'by key' },
    handle: traceBatch(handle),
    maxBatch,
    prefetch,
    concurrency: batchesInHand,
    log: consumerLog,
    metrics: options.registry,
  });

  let lastConsumingMs = performance.now();
  const watching = watchQueues();

  /** Ends when the queues are gone: a consumer of what is not there would be tried for ever. */
  async function watchQueues(): Promise<void> {
    while ((await pause(lookEveryMs, stopping.signal)) === 'elapsed') {
      if (consumer.consuming()) {
        lastConsumingMs = performance.now();
        continue;
      }
      if (!rabbit.ready()) continue;
      const missing = await missingQueue(rabbit, slice).catch(() => undefined);
      if (missing === undefined) continue;
      endWith({ cause: 'queues', message: `the queue ${missing} is not there any more` });
      return;
    }
  }

  return {
    ended,
    trouble() {
      const trouble = gather.trouble() ?? announcing;
      if (trouble !== undefined) return trouble;
      // Made anew after a lost connection it takes a moment.
      if (consumer.consuming() || performance.now() - lastConsumingMs < 2 * lookEveryMs) return undefined;
      return { cause: 'rabbitmq', message: 'no messages are taken from RabbitMQ: no channel' };
    },
    async stop(graceMs) {
      // From here on the consumer leaves what is not done where it is.
      const stopped = consumer.stop(graceMs);
      stopping.abort();
      const giveUp = new AbortController();
      const gathered = Promise.race([gather.stop(), pause(graceMs, giveUp.signal)]);
      await Promise.all([stopped, gathered, watching]).finally(() => giveUp.abort());
    },
  };
}

const streamOf = ({ queue, messages }: PartBatch): StreamBatch => ({ position: queue, messages });

const left = (batch: readonly Delivery[]): Outcome[] =>
  batch.map(() => ({ outcome: 'retry', reason: 'the applier stops' }));

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  const waiting = new AbortController();
  const late = pause(ms, waiting.signal).then(() => {
    throw new Hindrance('target', `the target has not answered for ${ms / 1000} s`);
  });
  late.catch(() => {});
  return await Promise.race([work, late]).finally(() => waiting.abort());
}
