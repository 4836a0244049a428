import { applyConsumerName } from '@strangler/migrations/engine/pipe/apply-consumer.ts';
import type { Pipe, PipeProcess } from '@strangler/migrations/testing/start-pipe.ts';
import { startPipe } from '@strangler/migrations/testing/start-pipe.ts';
import { pause } from '@strangler/platform/backoff.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import type { Progress } from '../../demo/progress.ts';
import { seededRandom } from '../../traffic/random.ts';
import type { Fault } from '../faults.ts';
import { type Check, checkCapture, checkEqual, checkPublished } from './checks.ts';
import { runCopies } from './copy-process.ts';
import { startMischief } from './mischief.ts';
import { startObserver } from './observer.ts';
import { pipeFaults, type Way, type Ways } from './pipe-faults.ts';
import { sliceTables, sourceSql, targetSql } from './tables.ts';
import { startLongTransaction, startWriters, type WriterCounts } from './writers.ts';

export type SoakPipeOptions = {
  /** The instance whose servers are broken, too; undefined: they are somebody else's, and only the ways to them are. */
  instance: string | undefined;
  /** The same seed makes the same faults in the same order, and the same writers. */
  seed: number;
  /** How many faults, one after the other. */
  faults: number;
  /** Faults go on at least so long, whatever their number. */
  minutes: number;
  writers: number;
  /** Goods that are there before the pipe is. */
  rows: number;
  progress: Progress;
  signal: AbortSignal;
};

export type SoakPipeReport = {
  ok: boolean;
  scenario: 'pipe';
  engine: string;
  bounds: Bound[];
  seed: number;
  seconds: number;
  faults: string[];
  transactions: WriterCounts;
  copies: { done: number; killed: number };
  sentAgain: number;
  looks: number;
  checks: { name: string; compared: number; violations: number }[];
  /** The first of each kind. */
  violations: string[];
};

/** How long a fault lasts, and how long there is peace after it: between these, by the seed. */
const faultMs = { least: 300, most: 3_000 };
const peaceMs = { least: 200, most: 1_200 };
/** Transactions that must be committed for each fault, or little has been tried. */
const transactionsPerFault = 10;

/**
 * A whole pipe between two databases while many write to the source and rows are copied: its processes are killed and
 * frozen, its ways to the servers cut, the servers themselves killed, and messages sent again in any order. Then
 * nobody's word is taken for anything: what the writers noted, the outbox, the stream and the rows of both ends are
 * read with plain SQL and must agree.
 */
export const soakPipe = async (options: SoakPipeOptions): Promise<SoakPipeReport> => {
  const { progress } = options;
  const startedMs = performance.now();
  const pipe = await startPipe({
    label: 'soak',
    sourceSql: sourceSql(options.rows),
    targetSql,
    slice: { tables: sliceTables },
    relays: 0,
    appliers: 0,
  });
  try {
    const ways = await openWays(pipe);
    const { relays, appliers } = await startProcesses(pipe, ways);
    progress.say('two relays and two appliers run');
    const choices = pipeFaults({ relays, appliers, ways, instance: options.instance });
    return await run({ ...options, pipe, ways, choices, processes: [...relays, ...appliers], startedMs });
  } finally {
    await pipe.close();
  }
};

type Running = SoakPipeOptions & {
  pipe: Pipe;
  ways: Ways;
  choices: readonly Fault[];
  processes: readonly PipeProcess[];
  startedMs: number;
};

async function run(running: Running): Promise<SoakPipeReport> {
  const { pipe, ways, seed, rows, progress, startedMs, signal } = running;
  const random = seededRandom(seed);
  const consumer = applyConsumerName(pipe.slice.slice);
  // Whatever comes, what is under way ends before the databases go.
  const over = new AbortController();
  pipe.onClose(() => over.abort());
  const long = await startLongTransaction(pipe.source.url, rows);
  pipe.onClose(long.close);
  const writers = startWriters({ url: pipe.source.url, count: running.writers, seed, rows });
  pipe.onClose(writers.stop);
  const observer = startObserver(pipe.target.url);
  pipe.onClose(observer.stop);
  const mischief = startMischief({
    rabbit: pipe.rabbit,
    exchange: pipe.exchange,
    consumer,
    random: seededRandom(seed + 1),
  });
  pipe.onClose(mischief.stop);
  let faultUnderWay = false;
  const copies = runCopies({
    slice: pipe.slice.slice,
    env: {
      ...pipe.environment.applier,
      STRANGLER_SOURCE: through(pipe.source.adminUrl, ways['copy to source']),
      STRANGLER_TARGET: through(pipe.target.url, ways['copy to target']),
    },
    random: seededRandom(seed + 2),
    killsPerCopy: 2,
    faultUnderWay: () => faultUnderWay,
    signal: AbortSignal.any([signal, over.signal]),
  });
  const happened: string[] = [];
  const ended: string[] = [];
  const untilMs = performance.now() + running.minutes * 60_000;
  // Every kind of fault comes before one comes again; a fault in each turn of a long soak.
  for (let turn = 0; turn < running.faults || performance.now() < untilMs || copies.done() === 0; turn += 1) {
    signal.throwIfAborted();
    if (copies.failures().length > 20) break;
    await restartEnded(running.processes, ended);
    const fault = running.choices[(turn + seed) % running.choices.length]!;
    happened.push(fault.name);
    faultUnderWay = true;
    await fault.begin();
    await pause(faultMs.least + random() * (faultMs.most - faultMs.least), signal);
    await fault.end();
    await pause(peaceMs.least + random() * (peaceMs.most - peaceMs.least), signal);
    faultUnderWay = false;
    const { committed } = writers.counts();
    progress.say(
      `${fault.name}: ${committed} transactions, ${copies.done()} copies, ${observer.violations().length} rows went back`,
    );
  }
  await copies.finish();
  // A machine that is busy with other things writes slowly: it is given the time.
  const wanted = transactionsPerFault * happened.length;
  await eventually(() => writers.counts().committed >= wanted, { withinMs: 120_000 }).catch(() =>
    signal.throwIfAborted(),
  );
  await long.commit();
  await writers.stop();
  await mischief.stop();
  await restartEnded(running.processes, ended);
  progress.say('the writers have stopped; waiting for the pipe to be empty');
  const left = await pipe.empty({ withinMs: 120_000 }).then(
    () => undefined,
    (error: Error) => error.message,
  );
  await observer.stop();
  progress.say('comparing');
  const checks: Check[] = [
    ...(await checkCapture(pipe.source.url, writers.acknowledged())),
    await checkPublished(pipe.source.url, pipe.rabbit, pipe.exchange),
    ...(await checkEqual(pipe.source.url, pipe.target.url)),
    {
      name: 'I4: no row of the target ever went back',
      compared: observer.looks(),
      violations: [...observer.violations()],
    },
    { name: 'the pipe is empty in the end', compared: 1, violations: left === undefined ? [] : [left] },
    { name: 'no process ends by itself', compared: running.processes.length, violations: ended },
    { name: 'no writer is refused', compared: writers.counts().committed, violations: [...writers.failures()] },
    { name: 'no copy gives up', compared: copies.done(), violations: [...copies.failures()] },
    {
      name: 'no change is given up',
      compared: 1,
      violations: (await pipe.deadLetters()).map((letter) => JSON.stringify(letter).slice(0, 200)),
    },
  ];
  const bounds = [
    ...checks.map(({ name, violations }) => atMost(name, violations.length, 0)),
    atLeast('committed transactions', writers.counts().committed, wanted),
    atLeast('copies', copies.done(), 1),
    atLeast('looks at the target', observer.looks(), happened.length),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    scenario: 'pipe',
    engine: testServers().engine,
    bounds,
    seed,
    seconds: Math.round((performance.now() - startedMs) / 1000),
    faults: happened,
    transactions: writers.counts(),
    copies: { done: copies.done(), killed: copies.kills() },
    sentAgain: mischief.sent(),
    looks: observer.looks(),
    checks: checks.map(({ name, compared, violations }) => ({ name, compared, violations: violations.length })),
    violations: checks.flatMap(({ name, violations }) => violations.slice(0, 5).map((one) => `${name}: ${one}`)),
  };
}

async function openWays(pipe: Pipe): Promise<Ways> {
  const { rabbitmqUrl } = testServers();
  const servers: Record<Way, string> = {
    'relay to source': pipe.source.url,
    'relay to broker': rabbitmqUrl,
    'applier to source': pipe.source.url,
    'applier to target': pipe.target.url,
    'applier to broker': rabbitmqUrl,
    'copy to source': pipe.source.url,
    'copy to target': pipe.target.url,
  };
  const ways: Partial<Ways> = {};
  for (const [way, url] of Object.entries(servers)) {
    const proxy = await startTcpProxy(url);
    pipe.onClose(() => proxy.close());
    ways[way as Way] = proxy;
  }
  return ways as Ways;
}

/** An address that leads through a proxy. */
function through(url: string, proxy: TcpProxy): string {
  const changed = new URL(url);
  changed.hostname = proxy.host;
  changed.port = String(proxy.port);
  return changed.href;
}

async function startProcesses(pipe: Pipe, ways: Ways): Promise<{ relays: PipeProcess[]; appliers: PipeProcess[] }> {
  const { rabbitmqUrl } = testServers();
  const relayEnv = {
    DATABASE_URL: through(pipe.source.url, ways['relay to source']),
    RABBITMQ_URL: through(rabbitmqUrl, ways['relay to broker']),
  };
  const applierEnv = {
    STRANGLER_SOURCE: through(pipe.source.adminUrl, ways['applier to source']),
    STRANGLER_TARGET: through(pipe.target.url, ways['applier to target']),
    RABBITMQ_URL: through(rabbitmqUrl, ways['applier to broker']),
  };
  // One after the other: each is named by how many there are.
  const relays = [await pipe.startRelay(relayEnv), await pipe.startRelay(relayEnv)];
  const appliers = [await pipe.startApplier(applierEnv), await pipe.startApplier(applierEnv)];
  return { relays, appliers };
}

/** A process that is not there although nobody has killed it is told of, and started again. */
async function restartEnded(processes: readonly PipeProcess[], ended: string[]): Promise<void> {
  for (const process of processes) {
    if (process.running()) continue;
    ended.push(`${process.name}: ${process.output().slice(-500)}`);
    await process.start();
  }
}
