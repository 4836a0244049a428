import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { appliedExchange } from '@strangler/platform/contracts/applied-message.ts';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import { parseSliceFile, type Slice } from '@strangler/platform/contracts/slice-file.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createFileFlagStore } from '@strangler/platform/flags/file-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { createDeadLetters, type DeadLetter } from '@strangler/platform/outbox/dead-letters.ts';
import { declareTopology, deleteConsumer, deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { dropOutbox, installOutbox, outboxTable } from '@strangler/platform/outbox/schema.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { forgetSlice } from '../engine/apply/forget-slice.ts';
import { installTargetTables, parkedTable, versionsTable } from '../engine/apply/own-tables.ts';
import { readPosition } from '../engine/apply/positions.ts';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import { installCapture, removeCapture } from '../engine/capture/install-capture.ts';
import { applyConsumer, applyConsumerName, applyQueues, pipeTopology } from '../engine/pipe/apply-consumer.ts';
import { canaryTable, installCanary } from '../engine/pipe/canary.ts';
import type { Direction } from '../engine/pipe/direction.ts';
import { markFloor } from '../engine/pipe/floor.ts';
import { openPipeDatabases, type PipeDatabases } from '../engine/pipe/open-databases.ts';
import { reverseSlice } from '../engine/pipe/reverse-tables.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { capturePlans } from '../engine/stages/measure.ts';
import { type PipeProcess, startPipeProcess } from './child-process.ts';

export type { PipeProcess } from './child-process.ts';

/** One end of a pipe. */
export type PipeEnd = FreshDatabase & {
  /** Of the database's own user, as any program of its owner. */
  pool: Pool;
};

export type PipeOptions = {
  /** Part of the names of databases, exchange and slice. */
  label: string;
  /** Statements that make the tables, and rows that stand before the pipe does. */
  sourceSql: readonly string[];
  targetSql: readonly string[];
  /**
   * The slice: the text of its `tables:` (YAML, indented by two) and of its transforms by their files' names, or a folder
   * with a slice file and its transforms. It gets a name of its own, so that its queues are nobody else's.
   */
  slice: { tables: string; transforms?: Record<string, string> } | { folder: string };
  /** How many of each are started; 1 unless told. 0: start them yourself. */
  relays?: number;
  appliers?: number;
  /** At which stage; `sync` unless told. `monolith`: nothing is installed yet, see `install`. */
  stage?: Stage;
  /** Over what the processes are given, such as an address that goes through a proxy. */
  relayEnv?: Record<string, string>;
  applierEnv?: Record<string, string>;
  rowsPerPartition?: number;
};

/** A whole pipe between two databases of its own, with relays and appliers as processes. */
export type Pipe = {
  slice: Slice;
  /** Of the slice file. */
  folder: string;
  slicesFolder: string;
  /** file:// */
  flags: string;
  exchange: string;
  /** Of the tests' own connection to RabbitMQ. */
  rabbit: RabbitConnection;
  source: PipeEnd;
  target: PipeEnd;
  relays: PipeProcess[];
  appliers: PipeProcess[];
  startRelay(env?: Record<string, string>): Promise<PipeProcess>;
  startApplier(env?: Record<string, string>): Promise<PipeProcess>;
  /** What the processes are given. */
  environment: { relay: Record<string, string>; applier: Record<string, string> };
  setStage(stage: Stage): Promise<void>;
  /** As `advance` to `sync` does it: target's tables, queues, outbox, floor, capture. Not the flag. */
  install(): Promise<void>;
  /** As `rollback` from `sync` does it, without emptying the target's tables. Not the flag. */
  uninstall(): Promise<void>;
  /** Arms the way back, as the beginning of a cut-over does: canaries, queues, and the service's outbox, floor and capture. */
  installReverse(epoch?: number): Promise<void>;
  /** Of the service's outbox. */
  startReverseRelay(env?: Record<string, string>): Promise<PipeProcess>;
  /** Both ends as the engine opens them, by the administrator. */
  open(direction: Direction): PipeDatabases;
  /** Resolves when all that was captured is published and in the target, and nothing is parked. Dead letters keep it from that. */
  empty(options?: { withinMs?: number; direction?: Direction }): Promise<void>;
  /** Rows of the outbox that are not published; messages in the applier's queues that nobody has in hand. */
  unpublished(direction?: Direction): Promise<number>;
  queued(direction?: Direction): Promise<number>;
  deadLetters(direction?: Direction): Promise<DeadLetter[]>;
  /** Called, last first, before all is taken away. */
  onClose(close: () => unknown): void;
  /** Ends the processes and takes away all that it has made. */
  close(): Promise<void>;
};

const relayMain = fileURLToPath(import.meta.resolve('@strangler/platform/outbox/relay/main.ts'));
const applierMain = fileURLToPath(new URL('../applier/main.ts', import.meta.url));

export async function startPipe(options: PipeOptions): Promise<Pipe> {
  const { label, relays = 1, appliers = 1, stage = 'sync' } = options;
  const { rabbitmqUrl } = testServers();
  const closers: (() => unknown)[] = [];
  async function close(): Promise<void> {
    const failures: unknown[] = [];
    for (const each of closers.splice(0)) {
      try {
        await each();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${label}: not all of the pipe could be taken away`);
  }
  const onClose = (each: () => unknown): void => void closers.unshift(each);

  try {
    return await start();
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }

  async function start(): Promise<Pipe> {
    const suffix = randomBytes(3).toString('hex');
    const exchange = `test-${label}-${suffix}`;
    const slicesFolder = await mkdtemp(join(tmpdir(), `${label}-`));
    onClose(() => rm(slicesFolder, { recursive: true, force: true }));
    const { slice, folder } = await writeSlice(slicesFolder, `${label}-${suffix}`, options.slice);
    const source = await openEnd(`${label}_s`, options.sourceSql, onClose);
    const target = await openEnd(`${label}_t`, options.targetSql, onClose);

    const log = createLog({ name: label, level: process.env.TEST_LOG_LEVEL ?? 'silent' });
    const rabbit = connect({ url: rabbitmqUrl, log });
    onClose(() => rabbit.close());
    const topology = pipeTopology(slice, exchange);
    onClose(async () => {
      await deleteTopology(rabbit, topology);
      const channel = await rabbit.channel();
      await channel.deleteExchange(appliedExchange(exchange));
      await channel.close();
    });
    // Of the administrator: with a binary log nobody else may create triggers.
    const databases = openPipeDatabases({ slice, folder, sourceUrl: source.adminUrl, targetUrl: target.url });
    onClose(() => databases.close());
    const opened = new Map<Direction, PipeDatabases>();
    function open(direction: Direction): PipeDatabases {
      const known = opened.get(direction);
      if (known !== undefined) return known;
      const ends = { sourceUrl: source.adminUrl, targetUrl: target.adminUrl };
      const one = openPipeDatabases({ slice, folder, direction, ...ends });
      opened.set(direction, one);
      onClose(() => one.close());
      return one;
    }
    const deadLetters = createDeadLetters(rabbit);

    const store = createFileFlagStore(join(slicesFolder, 'flags.json'));
    const flags = store.location;
    const started: PipeProcess[] = [];
    onClose(() => Promise.all(started.map((one) => one.kill())));
    const environment = {
      relay: {
        DATABASE_URL: source.url,
        RABBITMQ_URL: rabbitmqUrl,
        OUTBOX_EXCHANGE: exchange,
        LEASE_TTL: '2s',
        LEASE_RENEW: '200ms',
        ...options.relayEnv,
      },
      applier: {
        SLICE: slice.slice,
        STRANGLER_SLICES: slicesFolder,
        STRANGLER_SOURCE: source.adminUrl,
        STRANGLER_TARGET: target.url,
        STRANGLER_FLAGS: flags,
        RABBITMQ_URL: rabbitmqUrl,
        OUTBOX_EXCHANGE: exchange,
        ...options.applierEnv,
      },
    };

    async function begin(kind: 'relay' | 'applier', list: PipeProcess[], env: Record<string, string>) {
      const name = `${kind} ${list.length + 1}`;
      const main = kind === 'relay' ? relayMain : applierMain;
      const id = kind === 'relay' ? 'RELAY_ID' : 'SERVICE_ID';
      const one = await startPipeProcess({
        name,
        main,
        env: { ...environment[kind], [id]: name.replace(' ', '-'), ...env },
      });
      list.push(one);
      started.push(one);
      return one;
    }

    const floor = (ends: PipeDatabases, tables: readonly MappedTable[], epoch: number) =>
      markFloor({
        ...{ source: ends.source.write, target: ends.target.apply, slice: ends.slice.slice, epoch },
        tables: tables.map((table) => table.source.name),
      });

    async function install(): Promise<void> {
      await installTargetTables(databases.target.apply);
      await declareTopology(rabbit, topology);
      const { rowsPerPartition } = options;
      await installOutbox(databases.source.write, rowsPerPartition === undefined ? {} : { rowsPerPartition });
      const tables = await databases.tables();
      await installCapture(databases.source.write, {
        slice: slice.slice,
        database: source.name,
        epoch: 1,
        plans: capturePlans(slice.slice, tables),
      });
      await floor(databases, tables, 1);
    }

    async function installReverse(epoch = 1): Promise<void> {
      const back = open('reverse');
      await installTargetTables(back.target.apply);
      for (const end of [back.source.write, back.target.apply]) await installCanary(end);
      await declareTopology(rabbit, pipeTopology(back.slice, exchange));
      onClose(() => deleteConsumer(rabbit, exchange, applyConsumer(back.slice)));
      await installOutbox(back.source.write, { installedBy: 'strangler' });
      const tables = await back.captured();
      await installCapture(back.source.write, {
        slice: back.slice.slice,
        database: target.name,
        epoch,
        plans: capturePlans(back.slice.slice, tables),
      });
      await floor(back, tables, epoch);
    }

    async function startReverseRelay(env: Record<string, string> = {}): Promise<PipeProcess> {
      return await begin('relay', pipe.relays, { DATABASE_URL: target.url, ...env });
    }

    /** A pipe's beginning, end and name. */
    const flow = (direction: Direction) =>
      direction === 'forward'
        ? { slice, from: source.pool, to: target.pool }
        : { slice: reverseSlice(slice), from: target.pool, to: source.pool };

    async function unpublished(direction: Direction = 'forward'): Promise<number> {
      const [row] = await rowsOf<{ n: number }>(
        flow(direction).from,
        `SELECT COUNT(*) AS n FROM ${outboxTable} WHERE published = 0`,
      );
      return Number(row?.n ?? 0);
    }

    async function queued(direction: Direction = 'forward'): Promise<number> {
      const channel = await rabbit.channel();
      let count = 0;
      for (const queue of applyQueues(flow(direction).slice.slice)) {
        count += (await channel.checkQueue(queue)).messageCount;
      }
      await channel.close();
      return count;
    }

    /** Rows of which the target does not have the newest captured version, above the floor. */
    async function behind(direction: Direction): Promise<number> {
      const { slice: piped, from, to } = flow(direction);
      const newest = await rowsOf<{ subject: string; keyText: string; id: string }>(
        from,
        `SELECT subject, CONVERT(subject_key USING utf8mb4) AS keyText, CAST(MAX(id) AS CHAR) AS id FROM ${outboxTable}
         WHERE kind = 'row' AND topic LIKE ? AND id > ? GROUP BY subject, subject_key`,
        [`${piped.slice}.%`, (await readPosition(to, applyConsumerName(piped.slice), 'none'))?.id ?? '0'],
      );
      const known = await rowsOf<{ target: string; keyText: string; id: string }>(
        to,
        `SELECT table_name AS target, CONVERT(key_text USING utf8mb4) AS keyText, CAST(id AS CHAR) AS id FROM ${versionsTable}`,
      );
      const ids = new Map(known.map((row) => [`${row.target} ${row.keyText}`, BigInt(row.id)]));
      const targetOf = new Map([
        [canaryTable, canaryTable],
        ...piped.tables.map((one) => [one.source, one.target] as const),
      ]);
      return newest.filter(
        ({ subject, keyText, id }) => (ids.get(`${targetOf.get(subject)} ${keyText}`) ?? -1n) < BigInt(id),
      ).length;
    }

    async function parked(direction: Direction): Promise<number> {
      const [row] = await rowsOf<{ n: number }>(flow(direction).to, `SELECT COUNT(*) AS n FROM ${parkedTable}`);
      return Number(row?.n ?? 0);
    }

    const pipe: Pipe = {
      slice,
      folder,
      slicesFolder,
      flags,
      exchange,
      rabbit,
      source,
      target,
      relays: [],
      appliers: [],
      startRelay: (env = {}) => begin('relay', pipe.relays, env),
      startApplier: (env = {}) => begin('applier', pipe.appliers, env),
      environment,
      async setStage(to) {
        const author = { by: 'a test', reason: '' };
        await changeFlag(store, slice.slice, (document) => ({ ...document, stage: to }), author);
      },
      install,
      async uninstall() {
        await removeCapture(databases.source.write, { slice: slice.slice, database: source.name });
        await deleteTopology(rabbit, { ...topology, consumers: [applyConsumer(slice)] });
        await forgetSlice(databases.target.apply, {
          slice: slice.slice,
          targets: slice.tables.map((one) => one.target),
        });
        await dropOutbox(databases.source.write);
      },
      installReverse,
      startReverseRelay,
      open,
      async empty({ withinMs = 60_000, direction = 'forward' } = {}) {
        // What costs more to count is counted when the rest is 0.
        const counts = { unpublished, queued, parked, behind };
        await eventually(
          async () => {
            for (const [what, count] of Object.entries(counts)) {
              const left = await count(direction);
              if (left > 0) throw new Error(`${what}: ${left}`);
            }
          },
          { withinMs },
        );
      },
      unpublished,
      queued,
      deadLetters: (direction = 'forward') => deadLetters.list(applyConsumerName(flow(direction).slice.slice), 1_000),
      onClose,
      close,
    };
    if (stage !== 'monolith') await install();
    await pipe.setStage(stage);
    for (let n = 0; n < relays; n += 1) await pipe.startRelay();
    for (let n = 0; n < appliers; n += 1) await pipe.startApplier();
    return pipe;
  }
}

async function openEnd(
  label: string,
  sql: readonly string[],
  onClose: (close: () => unknown) => void,
): Promise<PipeEnd> {
  const database = await freshDatabase(label);
  onClose(() => database.drop());
  const pool = createPool(database.url);
  onClose(() => pool.end());
  for (const statement of sql) await pool.query(statement);
  return { ...database, pool };
}

/** A folder of slices with one slice, under another name. */
async function writeSlice(
  slicesFolder: string,
  name: string,
  given: PipeOptions['slice'],
): Promise<{ slice: Slice; folder: string }> {
  const folder = join(slicesFolder, name);
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'slice.yaml');
  if ('folder' in given) {
    await cp(given.folder, folder, { recursive: true });
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/^slice:.*$/m, `slice: ${name}`));
  } else {
    for (const [path, text] of Object.entries(given.transforms ?? {})) await writeFile(join(folder, path), text);
    const routes = 'routes: [GET /api/nothing]';
    await writeFile(file, `slice: ${name}\nservice: ${name}\n${routes}\ntables:\n${given.tables}`);
  }
  const { slice, faults } = parseSliceFile(await readFile(file, 'utf8'), file);
  if (slice === null)
    throw new Error(faults.map(({ line, path, message }) => `${line} ${path}: ${message}`).join('\n'));
  return { slice, folder };
}
