import { percentile } from '@strangler/e2e/traffic/tally.ts';
import { median, medianRatio } from '../proxy/ratios.ts';
import { type ContestantName, contestantNames, type Pair } from './works.ts';

/** What a contestant came to in one round. */
export type Round = {
  requestsPerSecond: number;
  p99Ms: number;
  failed: number;
  /** Processor time of the service a request, in microseconds; null where the system does not tell. */
  cpuMicros: number | null;
};

/** What the load has seen in one round, before it is told by the second. */
export type Seen = { durationsMs: readonly number[]; failed: number; elapsedMs: number };

export type ServiceResult = {
  name: ContestantName;
  requestsPerSecond: number;
  p99Ms: number;
  cpuMicros: number | null;
  failed: number;
};

export type BenchServicesReport = {
  table: string;
  json: {
    bench: 'services';
    /** Medians over the rounds; failures are all of them. */
    results: ServiceResult[];
    /** Of requests a second, round by round; `…Cpu` of processor time a request: below 1 it costs the service less. */
    ratios: Record<string, number>;
  };
};

/** One round by the second. Failed requests are not among those done. */
export const roundOf = ({ durationsMs, failed, elapsedMs }: Seen, cpuMicrosUsed: number | null): Round => {
  const all = durationsMs.length + failed;
  return {
    requestsPerSecond: durationsMs.length / (elapsedMs / 1000),
    p99Ms: percentile(durationsMs, 0.99),
    failed,
    // What failed has cost the service something too.
    cpuMicros: cpuMicrosUsed === null || all === 0 ? null : cpuMicrosUsed / all,
  };
};

/** Medians and ratios of all rounds. A pair is left out of the ratios where one of its two did nothing in some round. */
export const reportOf = (
  measured: ReadonlyMap<ContestantName, readonly Round[]>,
  pairs: readonly Pair[],
): BenchServicesReport => {
  const roundsOf = (name: ContestantName) => measured.get(name) ?? [];
  const results = contestantNames
    .filter((name) => roundsOf(name).length > 0)
    .map((name): ServiceResult => {
      const rounds = roundsOf(name);
      const cpu = cpuOf(rounds);
      return {
        name,
        requestsPerSecond: Math.round(median(rounds.map(({ requestsPerSecond }) => requestsPerSecond))),
        p99Ms: rounded(median(rounds.map(({ p99Ms }) => p99Ms))),
        cpuMicros: cpu === null ? null : Math.round(median(cpu)),
        failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
      };
    });
  const ratios: Record<string, number> = {};
  for (const { ratio, ours, theirs } of pairs) {
    const [one, other] = [roundsOf(ours), roundsOf(theirs)];
    if (one.length === 0 || one.length !== other.length) continue;
    const rates = [one, other].map((rounds) => rounds.map(({ requestsPerSecond }) => requestsPerSecond));
    if (rates.every((all) => all.every((rate) => rate > 0))) ratios[ratio] = rounded(medianRatio(rates[0]!, rates[1]!));
    const [cpu, otherCpu] = [cpuOf(one), cpuOf(other)];
    if (cpu !== null && otherCpu !== null) ratios[`${ratio}Cpu`] = rounded(medianRatio(cpu, otherCpu));
  }
  return { table: tableOf(results, pairs, ratios), json: { bench: 'services', results, ratios } };
};

/** Of every round, or null where one of them was not told or came to nothing: no ratio can be made of that. */
const cpuOf = (rounds: readonly Round[]): number[] | null => {
  const told = rounds.flatMap(({ cpuMicros }) => (cpuMicros === null || cpuMicros <= 0 ? [] : [cpuMicros]));
  return told.length === rounds.length ? told : null;
};

const tableOf = (results: readonly ServiceResult[], pairs: readonly Pair[], ratios: Record<string, number>): string => {
  const rows = results.map(({ name, requestsPerSecond, p99Ms, cpuMicros, failed }) => {
    const cpu = cpuMicros === null ? '' : `${String(cpuMicros).padStart(6)} µs CPU`;
    const failures = failed === 0 ? '' : `   ${failed} failed`;
    return `${name.padEnd(20)} ${String(requestsPerSecond).padStart(7)}/s   p99 ${String(p99Ms).padStart(7)} ms   ${cpu}${failures}`;
  });
  const told = pairs.flatMap(({ ratio, ours, theirs }) => {
    const [rate, cpu] = [ratios[ratio], ratios[`${ratio}Cpu`]];
    if (rate === undefined) return [];
    return [`${ours} / ${theirs} = ${rate}${cpu === undefined ? '' : `, CPU a request ${cpu}`}`];
  });
  return [...rows, '', ...told].map((row) => row.trimEnd()).join('\n');
};

const rounded = (value: number): number => Math.round(value * 100) / 100;
