import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '@strangler/platform/backoff.ts';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import {
  parseSliceFile,
  type Slice,
  SliceFileError,
  type SliceTable,
} from '@strangler/platform/contracts/slice-file.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { FloorGone } from '../engine/apply/applier.ts';
import { startHousekeeping } from '../engine/apply/housekeeping.ts';
import { readPosition } from '../engine/apply/positions.ts';
import { isServerAway } from '../engine/apply/sql-errors.ts';
import { applyConsumerName } from '../engine/pipe/apply-consumer.ts';
import { readBrokerFigures } from '../engine/pipe/broker-figures.ts';
import { isCanary } from '../engine/pipe/canary.ts';
import { type Direction, pipeNameOf, referencePart, sliceOfPipe } from '../engine/pipe/direction.ts';
import { endedCopies, withoutTables } from '../engine/pipe/ended-copies.ts';
import { openPipeDatabases, type PipeDatabases } from '../engine/pipe/open-databases.ts';
import type { Announcer } from './announce.ts';
import type { ApplierConfig } from './config.ts';
import { Hindrance, NotArmed } from './faults.ts';
import type { ApplierMetrics } from './metrics.ts';
import { missingQueue } from './queues.ts';
import { type SliceApplier, startSliceApplier } from './slice-applier.ts';

export type BeginOptions = {
  direction: Direction;
  /** At which the slice is. */
  stage: Stage | undefined;
  config: ApplierConfig;
  rabbit: RabbitConnection;
  announcer: Announcer;
  log: Log;
  metrics: ApplierMetrics;
  registry: Registry;
};

const lookTimeoutMs = 30_000;
const closeTimeoutMs = 2_000;

/**
 * Looks at the slice file, both databases and the broker as they are now, and begins to apply.
 * @throws Hindrance saying what stands in the way; then nothing has been begun.
 */
export async function beginApplying(options: BeginOptions): Promise<SliceApplier> {
  const { config, rabbit, direction } = options;
  const folder = join(config.slicesFolder, config.slice);
  const { sourceUrl, targetUrl } = config;
  const whole = await readSlice(folder, config.slice);
  const ended = await inTime('mapping', findEnded(whole, sourceUrl));
  const slice = partFor(options, withoutTables(whole, ended));
  const pipe = pipeNameOf(slice.slice, direction);
  // What is not armed is looked for often: this asks the broker alone.
  if (direction === 'reverse') await checkQueues(rabbit, pipe);
  const databases = openPipeDatabases({ slice, folder, sourceUrl, targetUrl, direction, captures: false });
  try {
    const tables = await inTime('mapping', databases.captured());
    await inTime('floor', checkFloor(databases));
    if (direction === 'forward') await checkQueues(rabbit, pipe);
    const isCopiedAgain = async (table: string): Promise<boolean> => {
      const isNamed = (one: SliceTable): boolean => one.source === table;
      return ended.some(isNamed) && !(await inTime('mapping', findEnded(whole, sourceUrl))).some(isNamed);
    };
    const applier = startSliceApplier({ ...options, databases, tables, exchange: config.exchange, isCopiedAgain });
    const housekeeping = startHousekeeping({
      databases,
      tables: tables.filter((table) => !isCanary(table)),
      copied: direction === 'forward',
      // Where nobody can tell, there may be some.
      deadLetters: async () => (await readBrokerFigures(rabbit, databases.slice)).deadLetters ?? 1,
      log: options.log,
    });
    return {
      ...applier,
      async stop(graceMs) {
        const kept = housekeeping.stop();
        await applier.stop(graceMs);
        await Promise.race([kept, pause(closeTimeoutMs)]);
        await close(databases);
      },
    };
  } catch (error) {
    await close(databases);
    throw error;
  }
}

async function readSlice(folder: string, name: string): Promise<Slice> {
  const file = join(folder, 'slice.yaml');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Hindrance('mapping', messageOf(cause), { cause });
  });
  const { slice, faults } = parseSliceFile(text, file);
  if (slice === null) throw new Hindrance('mapping', new SliceFileError(faults).message);
  if (slice.slice === name) return slice;
  throw new Hindrance('mapping', `${file}: expected the slice ${name}, found ${slice.slice}`);
}

async function findEnded(slice: Slice, sourceUrl: string): Promise<SliceTable[]> {
  if (slice.tables.every(({ until }) => until === null)) return [];
  const monolith = createPool(sourceUrl, { connectionLimit: 1 });
  try {
    return await endedCopies(slice, monolith);
  } finally {
    await monolith.end();
  }
}

/** At its end a slice's forward pipe has its reference tables alone. @throws NotArmed where it has none */
function partFor({ direction, stage }: BeginOptions, slice: Slice): Slice {
  if (direction !== 'forward' || stage !== 'complete') return slice;
  const part = referencePart(slice);
  if (part === null) throw new NotArmed('queues', `${slice.slice} is complete and has no reference tables`);
  return part;
}

/** @throws NotArmed when one of the pipe's queues is not there */
async function checkQueues(rabbit: RabbitConnection, pipe: string): Promise<void> {
  const missing = await missingQueue(rabbit, pipe).catch((cause: unknown) => {
    throw new Hindrance('rabbitmq', messageOf(cause), { cause });
  });
  if (missing === undefined) return;
  throw new NotArmed(
    'queues',
    `the queue ${missing} is not there; advance the slice ${sliceOfPipe(pipe)} to declare it`,
  );
}

/** Without it the first change would find out, and not before one comes. */
async function checkFloor({ slice, target }: PipeDatabases): Promise<void> {
  const name = applyConsumerName(slice.slice);
  const floor = await readPosition(target.read, name, 'none').catch((error: unknown) => {
    // ER_NO_SUCH_TABLE
    if ((error as { errno?: unknown }).errno === 1146) return undefined;
    throw error;
  });
  if (floor === undefined) throw new FloorGone(name);
}

async function inTime<T>(what: 'mapping' | 'floor', work: Promise<T>): Promise<T> {
  const waiting = new AbortController();
  const late = pause(lookTimeoutMs, waiting.signal).then(() => 'late' as const);
  try {
    const result = await Promise.race([work.then((value) => ({ value })), late]);
    if (result !== 'late') return result.value;
    throw new Hindrance('databases', `source and target have not answered for ${lookTimeoutMs / 1000} s`);
  } catch (cause) {
    if (cause instanceof Hindrance) throw cause;
    throw new Hindrance(isServerAway(cause) ? 'databases' : what, messageOf(cause), { cause });
  } finally {
    waiting.abort();
  }
}

/** A connection that is not answered would keep its pool open for ever. */
async function close(databases: PipeDatabases): Promise<void> {
  const waiting = new AbortController();
  await Promise.race([databases.close().catch(() => {}), pause(closeTimeoutMs, waiting.signal)]);
  waiting.abort();
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
