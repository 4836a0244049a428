import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';
import { canPin, startProcess, stopProcess } from '../processes.ts';
import { isInstalled } from '../proxy/contestants.ts';
import { cpuMicrosOf } from '../proxy/cpu-time.ts';
import { cannon, wrk } from '../proxy/load.ts';
import { median, medianRatio } from '../proxy/ratios.ts';

export type BenchShadowOptions = {
  rounds: number;
  secondsPerRound: number;
  connections: number;
  /** Of the load that leaves the proxy time to spare. */
  readsPerSecond: number;
  say: (line: string) => void;
};

/** What a proxy compares with; `off`: nothing. */
const contestants = ['off', 'healthy', 'dead', 'slow', 'flooding'] as const;
type Contestant = (typeof contestants)[number];

type ShadowResult = {
  candidate: Contestant;
  /** Under as much load as it takes. */
  full: { requestsPerSecond: number; p99Ms: number; compared: number; dropped: number };
  /** At `readsPerSecond`. */
  paced: { p50Ms: number; p99Ms: number; cpuMicros: number | null; compared: number; dropped: number };
};

export type BenchShadowReport = {
  table: string;
  json: {
    bench: 'shadow';
    results: ShadowResult[];
    /** Of the worst of the four candidates: live throughput under full load, and the p99 at the even rate, each by that without comparing. */
    ratios: { throughput: number; p99: number };
    /** Samples that were not compared at the even rate while the service was healthy. */
    dropped: number;
  };
};

const path = '/api/products/7';
const authorization = `Bearer e30.${Buffer.from('{"sub":"1042","role":"customer"}').toString('base64url')}.sig`;

/**
 * Measures what comparing every read costs the live requests: one proxy a candidate and one that compares nothing, all in the same run,
 * in turn, each alone on one core, everything else on the other.
 */
export const benchShadow = async (options: BenchShadowOptions): Promise<BenchShadowReport> => {
  const { rounds, secondsPerRound, connections, readsPerSecond, say } = options;
  const folder = await mkdtemp(join(tmpdir(), 'bench-shadow-'));
  const pinned = canPin();
  const [proxyCore, otherCore] = pinned ? [0, 1] : [null, null];
  const load = isInstalled('wrk') ? wrk : cannon;
  const running: ChildProcess[] = [];
  say(
    `load: ${load.name}, ${connections} connections, then ${readsPerSecond} reads a second; ${rounds} rounds of ${secondsPerRound} s each; ` +
      (pinned ? 'proxies on core 0, everything else on core 1' : 'nothing pinned to cores'),
  );
  const script = (file: string, environment: Record<string, string>, core: number | null): void => {
    const program = { command: process.execPath, arguments: [join(import.meta.dirname, file)], environment };
    running.push(startProcess(program, core));
  };

  try {
    const monolith = `http://127.0.0.1:${await freePort()}`;
    script('../proxy/upstream.ts', { PORT: new URL(monolith).port }, otherCore);
    const proxies = new Map<Contestant, { url: string; admin: string; pid: number }>();
    for (const candidate of contestants) {
      const service = `http://127.0.0.1:${await freePort()}`;
      const { port } = new URL(service);
      if (candidate === 'healthy') script('../proxy/upstream.ts', { PORT: port }, otherCore);
      if (candidate === 'slow' || candidate === 'flooding')
        script('candidate.ts', { PORT: port, MANNER: candidate }, otherCore);
      const [port1, port2] = [await freePort(), await freePort()];
      const environment = {
        ...(await writeSlice(join(folder, candidate), candidate)),
        ...{ PORT: String(port1), ADMIN_PORT: String(port2), MONOLITH_URL: monolith, SERVICES: `catalog=${service}` },
        ...{ WORKERS: '1', NODE_ENV: 'production', LOG_LEVEL: 'error', ACCESS_LOG: 'none' },
      };
      const main = join(import.meta.dirname, '../../strangler-proxy/main.ts');
      const child = startProcess({ command: process.execPath, arguments: [main], environment }, proxyCore);
      running.push(child);
      proxies.set(candidate, { url: `http://127.0.0.1:${port1}`, admin: `http://127.0.0.1:${port2}`, pid: child.pid! });
    }
    for (const { url } of proxies.values()) await waitUntilAnswers(url);

    /** What a proxy still has to ask again must not fall into another's time. */
    const settle = (candidate: Contestant): Promise<void> =>
      eventually(
        async () => {
          const metrics = await (await fetch(`${proxies.get(candidate)!.admin}/metrics`)).text();
          const left = sumOf(metrics, 'strangler_shadow_waiting') + sumOf(metrics, 'strangler_shadow_rechecks');
          if (left > 0) throw new Error(`${left} comparisons are under way`);
        },
        { withinMs: 30_000 },
      );
    const full = async (candidate: Contestant, seconds: number) => {
      const { url, admin } = proxies.get(candidate)!;
      const before = await countsOf(admin);
      const headers = { Authorization: authorization };
      const measured = await load.run({ url: `${url}${path}`, headers, connections, seconds, core: otherCore });
      await settle(candidate);
      return { ...measured, ...less(await countsOf(admin), before) };
    };
    const paced = async (candidate: Contestant, seconds: number) => {
      const { url, admin, pid } = proxies.get(candidate)!;
      const [before, cpuBefore] = [await countsOf(admin), cpuMicrosOf(pid)];
      const environment = {
        ...{ TARGET: `${url}${path}`, RATE: String(readsPerSecond), SECONDS: String(seconds) },
        AUTHORIZATION: authorization,
      };
      const words = [join(import.meta.dirname, 'paced-load.ts')];
      const child = startProcess({ command: process.execPath, arguments: words, environment }, otherCore, 'pipe');
      running.push(child);
      const told = JSON.parse(await text(child.stdout!)) as { p50Ms: number; p99Ms: number; failed: number };
      await settle(candidate);
      const cpuAfter = cpuMicrosOf(pid);
      const cpuMicros =
        cpuBefore === null || cpuAfter === null ? null : (cpuAfter - cpuBefore) / (readsPerSecond * seconds);
      return { ...told, cpuMicros, ...less(await countsOf(admin), before) };
    };

    const measured = new Map<Contestant, Round[]>(contestants.map((one) => [one, []]));
    for (const candidate of contestants) await full(candidate, 2);
    for (let round = 0; round < rounds; round += 1) {
      const at = round % contestants.length;
      const order = [...contestants.slice(at), ...contestants.slice(0, at)];
      const busy = new Map<Contestant, Awaited<ReturnType<typeof full>>>();
      for (const candidate of order) busy.set(candidate, await full(candidate, secondsPerRound));
      for (const candidate of order) {
        const result = { full: busy.get(candidate)!, paced: await paced(candidate, secondsPerRound) };
        const failed = result.full.failed + result.paced.failed;
        if (failed > 0) say(`${candidate}: ${failed} live requests failed in round ${round + 1}`);
        measured.get(candidate)!.push(result);
      }
      const last = (one: Contestant) => measured.get(one)![round]!;
      const words = contestants.map(
        (one) => `${one} ${Math.round(last(one).full.requestsPerSecond)}/s, p99 ${last(one).paced.p99Ms.toFixed(1)} ms`,
      );
      say(`round ${round + 1} of ${rounds}: ${words.join('; ')}`);
    }
    return report(measured, readsPerSecond);
  } finally {
    await Promise.all(running.map(stopProcess));
    await rm(folder, { recursive: true });
  }
};

const writeSlice = async (folder: string, candidate: Contestant): Promise<Record<string, string>> => {
  await mkdir(join(folder, 'slices/catalog'), { recursive: true });
  const shadow = candidate === 'off' ? '' : 'shadow: { sample: 1 }\n';
  await writeFile(
    join(folder, 'slices/catalog/slice.yaml'),
    `slice: catalog\nservice: catalog\nroutes: [ GET /api/products, GET /api/products/:id ]\nstickyBy: [ jwt.sub ]\n${shadow}`,
  );
  const change = { id: 'bench', by: 'bench', at: new Date().toISOString(), reason: '' };
  const flag = { ...initialFlagDocument('catalog', change), stage: 'shadow' };
  await writeFile(join(folder, 'flags.json'), JSON.stringify({ catalog: flag }));
  return { STRANGLER_SLICES: join(folder, 'slices'), STRANGLER_FLAGS: `file://${join(folder, 'flags.json')}` };
};

type Counts = { compared: number; dropped: number };

const countsOf = async (admin: string): Promise<Counts> => {
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  return {
    compared: sumOf(metrics, 'strangler_shadow_compared_total'),
    dropped: sumOf(metrics, 'strangler_shadow_dropped_total'),
  };
};

const sumOf = (metrics: string, name: string): number =>
  metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .reduce((all, line) => all + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);

const less = (after: Counts, before: Counts): Counts => ({
  compared: after.compared - before.compared,
  dropped: after.dropped - before.dropped,
});

const waitUntilAnswers = (url: string): Promise<void> =>
  eventually(
    async () => {
      const answer = await fetch(`${url}${path}`);
      if (answer.status !== 200 || !(await answer.text()).includes('Walnut'))
        throw new Error(`answered ${answer.status}`);
    },
    { withinMs: 30_000 },
  );

type Round = {
  full: { requestsPerSecond: number; p99Ms: number } & Counts;
  paced: { p50Ms: number; p99Ms: number; cpuMicros: number | null } & Counts;
};

const report = (measured: ReadonlyMap<Contestant, readonly Round[]>, readsPerSecond: number): BenchShadowReport => {
  const of = <T>(one: Contestant, pick: (round: Round) => T): T[] => measured.get(one)!.map(pick);
  const results = contestants.map((candidate): ShadowResult => {
    const cpu = of(candidate, ({ paced }) => paced.cpuMicros).filter((one) => one !== null);
    return {
      candidate,
      full: {
        requestsPerSecond: Math.round(median(of(candidate, ({ full }) => full.requestsPerSecond))),
        p99Ms: round(median(of(candidate, ({ full }) => full.p99Ms))),
        compared: sum(of(candidate, ({ full }) => full.compared)),
        dropped: sum(of(candidate, ({ full }) => full.dropped)),
      },
      paced: {
        p50Ms: round(median(of(candidate, ({ paced }) => paced.p50Ms))),
        p99Ms: round(median(of(candidate, ({ paced }) => paced.p99Ms))),
        cpuMicros: cpu.length === 0 ? null : Math.round(median(cpu)),
        compared: sum(of(candidate, ({ paced }) => paced.compared)),
        dropped: sum(of(candidate, ({ paced }) => paced.dropped)),
      },
    };
  });
  const shadowed = contestants.filter((one) => one !== 'off');
  const throughput = (one: Contestant): number =>
    medianRatio(
      of(one, ({ full }) => full.requestsPerSecond),
      of('off', ({ full }) => full.requestsPerSecond),
    );
  const p99 = (one: Contestant): number =>
    medianRatio(
      of(one, ({ paced }) => paced.p99Ms),
      of('off', ({ paced }) => paced.p99Ms),
    );
  const cells = (texts: readonly (string | number)[]): string =>
    texts.map((one, at) => (at === 0 ? String(one).padEnd(10) : String(one).padStart(12))).join(' ');
  const rows = results.map(({ candidate, full, paced }) =>
    cells([
      ...[candidate, full.requestsPerSecond, candidate === 'off' ? '' : round(throughput(candidate)), full.p99Ms],
      ...[full.compared, full.dropped, paced.p99Ms, candidate === 'off' ? '' : round(p99(candidate))],
      ...[paced.cpuMicros ?? '', paced.compared, paced.dropped],
    ]),
  );
  return {
    table: [
      `full load, then ${readsPerSecond} reads a second`,
      cells([
        'service',
        'reads/s',
        'by off',
        'p99 ms',
        'compared',
        'dropped',
        'p99 ms',
        'by off',
        'µs CPU',
        'compared',
        'dropped',
      ]),
      ...rows,
    ].join('\n'),
    json: {
      bench: 'shadow',
      results,
      ratios: { throughput: round(Math.min(...shadowed.map(throughput))), p99: round(Math.max(...shadowed.map(p99))) },
      dropped: results.find(({ candidate }) => candidate === 'healthy')!.paced.dropped,
    },
  };
};

const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);
const round = (value: number): number => Math.round(value * 100) / 100;
