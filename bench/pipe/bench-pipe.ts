import { median, medianRatio } from '../proxy/ratios.ts';
import { type CaptureCost, measureCapture } from './capture-cost.ts';
import { type CopyRace, raceCopy } from './copy-race.ts';
import { type PipeRun, runPipe } from './latency.ts';
import type { MemoryReport } from './memory.ts';
import { findDumpPrograms } from './mysqldump.ts';
import { createProducts, fillProducts } from './products.ts';
import { type RelayRace, raceRelay } from './relay-race.ts';
import { openSetting } from './setting.ts';
import { findTableChecksum } from './table-checksum.ts';
import { raceVerify, type VerifyRace } from './verify-race.ts';

export type BenchPipeOptions = {
  /** Rows that go through relay, applier and backfill each, over all rounds. */
  rows: number;
  rounds: number;
  /** Few rows and short rounds: shows that it works, and measures little. */
  quick: boolean;
  say: (line: string) => void;
};

export type BenchPipeReport = {
  table: string;
  json: {
    bench: 'pipe';
    engine: string;
    /** Of rates, ours divided by theirs, but `captureSlowdown`: by how much longer a commit takes with triggers. Null: no such peer here. */
    ratios: Record<
      'relayVsRawPublish' | 'backfillVsInsertSelect' | 'backfillVsMysqldump' | 'verifyVsChecksum' | 'captureSlowdown',
      number | null
    > & { verifyVsPtTableChecksum: number | null; captureSlowdownManyWriters: number; captureSlowdownManyRows: number };
    /** From the answer to a commit until the target has the row and says so, at 1000 commits of one row a second. */
    latencyMs: { p50: number; p99: number; commitsPerSecond: number };
    /** Medians, a second. */
    rates: Record<string, number | null>;
    /** Processor time an event, in microseconds: relay against raw publisher, their own and the servers'. */
    cpuMicros: Record<'relay' | 'rawPublish', Record<string, number | null>>;
    memoryMiB: Record<'relay' | 'applier' | 'backfill', MemoryReport & { rows: number }>;
  };
};

/** The instance of real servers that it starts for itself and takes away again; one of that name that is up is used as it is. */
const instanceName = 'bench';

/** Measures every part of the pipe beside its peers, in turn and round by round, on real servers of its own. */
export const benchPipe = async ({ rows, rounds, quick, say }: BenchPipeOptions): Promise<BenchPipeReport> => {
  const setting = await openSetting(process.env.STACK_INSTANCE ?? instanceName, say);
  try {
    const { engine } = setting.servers.addresses;
    const programs = await findDumpPrograms(engine, say);
    const checksum = await findTableChecksum(say);
    const rowsPerRound = Math.ceil(rows / rounds);
    say(`${engine}; ${rounds} rounds of ${rowsPerRound} rows`);
    await fillProducts(setting.source, rowsPerRound);

    const relay = await raceRelay(setting, { rounds, rowsPerRound, say });
    // Neither is to meet what the other has left behind.
    await createProducts(setting.source);
    await fillProducts(setting.source, rowsPerRound);
    const copy = await raceCopy(setting, { rounds, rowsPerRound, programs, say });
    const verify = await raceVerify(setting, { rounds, rowsPerRound, checksum, say });
    const capture = await measureCapture(setting, { rounds, secondsEach: quick ? 1 : 5, say });
    const pipe = await runPipe(setting, { rounds, secondsPerRound: quick ? 2 : 10, bulkRows: rows, say });
    return report({ engine, relay, copy, verify, capture, pipe });
  } finally {
    await setting.close();
  }
};

type Measured = {
  engine: string;
  relay: RelayRace;
  copy: CopyRace;
  verify: VerifyRace;
  capture: CaptureCost;
  pipe: PipeRun;
};

const report = ({ engine, relay, copy, verify, capture, pipe }: Measured): BenchPipeReport => {
  const ratio = <Round>(rounds: readonly Round[], ours: keyof Round, theirs: keyof Round): number | null => {
    const [one, other] = [ratesOf(rounds, ours), ratesOf(rounds, theirs)];
    return one.length === rounds.length && other.length === rounds.length ? round(medianRatio(one, other)) : null;
  };
  const rate = <Round>(rounds: readonly Round[], name: keyof Round): number | null => {
    const rates = ratesOf(rounds, name);
    return rates.length === 0 ? null : Math.round(median(rates));
  };
  const slowdown = (captured: keyof CaptureCost['rounds'][0], plain: keyof CaptureCost['rounds'][0]): number =>
    round(medianRatio(ratesOf(capture.rounds, plain), ratesOf(capture.rounds, captured)));
  const cpu = (which: 'relayCpuMicros' | 'rawCpuMicros') => {
    const of = (name: 'own' | 'database' | 'broker') => {
      const told = relay.rounds.flatMap((one) => one[which][name] ?? []);
      return told.length === 0 ? null : round(median(told));
    };
    return { own: of('own'), database: of('database'), broker: of('broker') };
  };
  const latency = (name: 'p50' | 'p99' | 'commitsPerSecond') => round(median(pipe.rounds.map((one) => one[name])));

  const json: BenchPipeReport['json'] = {
    bench: 'pipe',
    engine,
    ratios: {
      relayVsRawPublish: ratio(relay.rounds, 'relayPerSecond', 'rawPerSecond'),
      backfillVsInsertSelect: ratio(copy.rounds, 'backfill', 'insertSelect'),
      backfillVsMysqldump: ratio(copy.rounds, 'backfill', 'mysqldump'),
      verifyVsChecksum: ratio(verify.rounds, 'verify', 'checksum'),
      captureSlowdown: slowdown('singleCaptured', 'singlePlain'),
      verifyVsPtTableChecksum: ratio(verify.rounds, 'verify', 'ptTableChecksum'),
      captureSlowdownManyWriters: slowdown('manyCaptured', 'manyPlain'),
      captureSlowdownManyRows: slowdown('rowsCaptured', 'rowsPlain'),
    },
    latencyMs: { p50: latency('p50'), p99: latency('p99'), commitsPerSecond: latency('commitsPerSecond') },
    rates: {
      relay: rate(relay.rounds, 'relayPerSecond'),
      rawPublish: rate(relay.rounds, 'rawPerSecond'),
      backfill: rate(copy.rounds, 'backfill'),
      insertSelect: rate(copy.rounds, 'insertSelect'),
      mysqldump: rate(copy.rounds, 'mysqldump'),
      verify: rate(verify.rounds, 'verify'),
      checksum: rate(verify.rounds, 'checksum'),
      ptTableChecksum: rate(verify.rounds, 'ptTableChecksum'),
      commitsCaptured: rate(capture.rounds, 'singleCaptured'),
      commitsPlain: rate(capture.rounds, 'singlePlain'),
      throughThePipe: Math.round(pipe.bulk.rowsPerSecond),
    },
    cpuMicros: { relay: cpu('relayCpuMicros'), rawPublish: cpu('rawCpuMicros') },
    memoryMiB: {
      relay: { ...relay.memory, rows: relay.events },
      applier: { ...pipe.memory.applier, rows: pipe.bulk.rows },
      backfill: { ...copy.memory, rows: copy.rounds.length * copy.rowsPerRound },
    },
  };
  return { table: tableOf(json), json };
};

const ratesOf = <Round>(rounds: readonly Round[], name: keyof Round): number[] =>
  rounds.flatMap((one) => (typeof one[name] === 'number' ? [one[name]] : []));

const round = (value: number): number => Math.round(value * 100) / 100;

/** Ours, theirs, ratio and goal, a line a measure. */
const tableOf = ({ ratios, rates, latencyMs, memoryMiB, cpuMicros }: BenchPipeReport['json']): string => {
  const perSecond = (name: string) => (rates[name] == null ? 'not there' : `${rates[name]}/s`);
  const line = (what: string, ours: string, theirs: string, ratio: number | null, goal: string) =>
    `${what.padEnd(36)} ${ours.padStart(11)} ${theirs.padStart(11)}   ${String(ratio ?? '').padStart(5)}  ${goal}`.trimEnd();
  const memory = Object.entries(memoryMiB).map(
    ([name, { startMiB, maxMiB, rows }]) =>
      `memory of ${name} over ${rows} rows: ${startMiB ?? '?'} MiB at its start, ${maxMiB ?? '?'} MiB at most`,
  );
  const cpu = Object.entries(cpuMicros).map(
    ([name, { own, database, broker }]) =>
      `processor time of ${name}, µs an event: ${own ?? '?'} own, ${database ?? '?'} database, ${broker ?? '?'} broker`,
  );
  return [
    line('', 'ours', 'theirs', null, '').replace(/\s+$/, '   ratio  goal'),
    line('relay / raw publish', perSecond('relay'), perSecond('rawPublish'), ratios.relayVsRawPublish, '0.9'),
    line(
      'backfill / INSERT … SELECT',
      perSecond('backfill'),
      perSecond('insertSelect'),
      ratios.backfillVsInsertSelect,
      '0.5',
    ),
    line(
      'backfill / mysqldump | mysql',
      perSecond('backfill'),
      perSecond('mysqldump'),
      ratios.backfillVsMysqldump,
      '1.5',
    ),
    line('verify / raw checksum of both', perSecond('verify'), perSecond('checksum'), ratios.verifyVsChecksum, '0.8'),
    line(
      'verify / pt-table-checksum of both',
      perSecond('verify'),
      perSecond('ptTableChecksum'),
      ratios.verifyVsPtTableChecksum,
      '',
    ),
    line(
      'commit of one row takes, captured',
      perSecond('commitsCaptured'),
      perSecond('commitsPlain'),
      ratios.captureSlowdown,
      '',
    ),
    `  four writers at once ${ratios.captureSlowdownManyWriters}, statements of 1000 rows ${ratios.captureSlowdownManyRows}`,
    `commit to applied at ${Math.round(latencyMs.commitsPerSecond)} commits/s: p50 ${latencyMs.p50} ms, p99 ${latencyMs.p99} ms; goal p99 25 ms`,
    `through the whole pipe: ${perSecond('throughThePipe')}`,
    ...cpu,
    ...memory,
  ].join('\n');
};
