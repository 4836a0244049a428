import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';
import { canPin, startProcess, stopProcess } from '../processes.ts';
import { type Contestant, contestants, type Field, isInstalled } from './contestants.ts';
import { cpuMicrosOf } from './cpu-time.ts';
import { cannon, type Measured, wrk } from './load.ts';
import { forwardingPolicies, oursWithPolicies, startIssuer } from './policies.ts';
import { median, medianRatio } from './ratios.ts';

export type BenchOptions = {
  rounds: number;
  secondsPerRound: number;
  connections: number;
  say: (line: string) => void;
};

export type BenchReport = {
  table: string;
  json: {
    bench: 'proxy';
    /**
     * `cpuMicros`: processor time of the proxy a request, in the median round, and in the one in which it was least; null where the
     * system does not tell, and for no proxy at all.
     */
    results: {
      name: string;
      requestsPerSecond: number;
      p99Ms: number;
      cpuMicros: number | null;
      leastCpuMicros: number | null;
    }[];
    /** Of ours to each peer, as `ours` stands before a slice and as it is `guarded`. */
    ratios: { ours: Record<string, number>; guarded: Record<string, number> };
  };
};

/** What every contestant is asked: a product's page, by a user with a token, as the slice's users would. */
const path = '/api/products/7';

/** Ours with what a front door is seldom without: who it is, and how often. */
const guarded = 'guarded';

/**
 * Measures every proxy on the same requests: each alone on one core, upstream and load on the other, round by round in turn,
 * the order changed every round. Ours takes part as it stands before a slice, and `guarded` by a token and a rate limit, which
 * no peer looks at. `direct` is the load against the upstream with nothing in between: the ceiling.
 */
export const benchProxy = async (options: BenchOptions & { redisUrl: string | null }): Promise<BenchReport> => {
  const issuer = await startIssuer();
  try {
    const { jwt, 'rate-limit': rateLimit } = forwardingPolicies(issuer.jwksUrl);
    const measured = await measureField(options, {
      folderName: 'bench-proxy-',
      headers: { Authorization: `Bearer ${issuer.token}` },
      contestants: async (field) => [
        await oursWithPolicies(field, guarded, { jwt: jwt!, 'rate-limit': rateLimit! }, options.redisUrl),
        ...(await contestants(field)),
      ],
      direct: true,
    });
    return report(measured);
  } finally {
    issuer.close();
  }
};

export type FieldOptions = {
  folderName: string;
  headers: Record<string, string>;
  contestants(field: Field): Promise<Contestant[]>;
  /** Whether the upstream is measured by itself as well. */
  direct: boolean;
};

/** The rounds of every contestant by its name. */
export const measureField = async (
  { rounds, secondsPerRound, connections, say }: BenchOptions,
  { folderName, headers, contestants, direct }: FieldOptions,
): Promise<ReadonlyMap<string, Round[]>> => {
  const folder = await mkdtemp(join(tmpdir(), folderName));
  const pinned = canPin();
  const load = isInstalled('wrk') ? wrk : cannon;
  const running: ChildProcess[] = [];
  const pids = new Map<string, number>();
  const start = (contestant: Contestant, core: number): void => {
    const child = startProcess(contestant, pinned ? core : null);
    running.push(child);
    if (child.pid !== undefined) pids.set(contestant.name, child.pid);
  };
  say(
    `load: ${load.name}, ${connections} connections, ${rounds} rounds of ${secondsPerRound} s each; ` +
      (pinned ? 'proxies on core 0, upstream and load on core 1' : 'nothing pinned to cores'),
  );

  try {
    const upstreamUrl = `http://127.0.0.1:${await freePort()}`;
    start(
      {
        name: 'upstream',
        command: process.execPath,
        arguments: [join(import.meta.dirname, 'upstream.ts')],
        environment: { PORT: new URL(upstreamUrl).port },
      },
      1,
    );
    const free = await Promise.all(Array.from({ length: mostPorts }, freePort));
    const ports = new Map<string, number>();
    const portOf = (name: string): number => {
      if (!ports.has(name)) ports.set(name, free.pop()!);
      return ports.get(name)!;
    };
    const field = await contestants({ folder, upstreamUrl, portOf });
    for (const contestant of field) start(contestant, 0);

    const urls = new Map(field.map(({ name }) => [name, `http://127.0.0.1:${portOf(name)}`]));
    if (direct) urls.set('direct', upstreamUrl);
    for (const [name, url] of urls) await waitUntilAnswers(name, url, headers);

    const cpuOf = (name: string): number | null => (pids.has(name) ? cpuMicrosOf(pids.get(name)!) : null);
    const measure = async (name: string, seconds: number): Promise<Round> => {
      const before = cpuOf(name);
      const result = await load.run({
        url: `${urls.get(name)}${path}`,
        headers,
        connections,
        seconds,
        core: pinned ? 1 : null,
      });
      const after = cpuOf(name);
      const cpuMicros =
        before === null || after === null ? null : (after - before) / (result.requestsPerSecond * seconds);
      return { ...result, cpuMicros };
    };
    const names = [...urls.keys()];
    for (const name of names) await measure(name, 2);

    const measured = new Map<string, Round[]>(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round += 1) {
      const order = [...names.slice(round % names.length), ...names.slice(0, round % names.length)];
      for (const name of order) {
        const result = await measure(name, secondsPerRound);
        if (result.failed > 0) say(`${name}: ${result.failed} requests failed in round ${round + 1}`);
        measured.get(name)!.push(result);
      }
      say(
        `round ${round + 1} of ${rounds}: ${names.map((name) => `${name} ${Math.round(measured.get(name)![round]!.requestsPerSecond)}/s`).join(', ')}`,
      );
    }
    return measured;
  } finally {
    await Promise.all(running.map(stopProcess));
    await rm(folder, { recursive: true });
  }
};

const mostPorts = 64;

const waitUntilAnswers = (name: string, url: string, headers: Record<string, string>): Promise<void> =>
  eventually(
    async () => {
      const answer = await fetch(`${url}${path}`, { headers });
      const body = await answer.text();
      if (answer.status !== 200 || !body.includes('Walnut')) throw new Error(`${name} answered ${answer.status}`);
    },
    { withinMs: 60_000 },
  );

/** One contestant in one round; `cpuMicros` is the proxy's processor time a request. */
export type Round = Measured & { cpuMicros: number | null };

const report = (measured: ReadonlyMap<string, Round[]>): BenchReport => {
  const rates = (name: string): number[] => measured.get(name)!.map((one) => one.requestsPerSecond);
  const results = [...measured].map(([name, all]) => ({
    name,
    requestsPerSecond: Math.round(median(rates(name))),
    p99Ms: round(median(all.map((one) => one.p99Ms))),
    cpuMicros: cpuMedian(all),
    leastCpuMicros: cpuLeast(all),
  }));
  const peers = [...measured.keys()].filter((name) => name !== 'ours' && name !== guarded && name !== 'direct');
  const ratiosOf = (one: string): Record<string, number> =>
    Object.fromEntries(peers.map((name) => [name, round(medianRatio(rates(one), rates(name)))]));
  const ratios = { ours: ratiosOf('ours'), guarded: ratiosOf(guarded) };
  const rows = results.map(({ name, requestsPerSecond, p99Ms, cpuMicros, leastCpuMicros }) => {
    const cpu = cpuMicros === null ? ''.padStart(32) : cpuText(cpuMicros, leastCpuMicros);
    const beside = peers.includes(name)
      ? `ours / ${name} = ${ratios.ours[name]}, ${guarded} / ${name} = ${ratios.guarded[name]}`
      : '';
    return `${name.padEnd(12)} ${String(requestsPerSecond).padStart(8)}/s   p99 ${String(p99Ms).padStart(8)} ms   ${cpu}   ${beside}`;
  });
  return { table: rows.map((row) => row.trimEnd()).join('\n'), json: { bench: 'proxy', results, ratios } };
};

export const round = (value: number): number => Math.round(value * 100) / 100;

const cpuTimes = (rounds: readonly Round[]): number[] =>
  rounds.flatMap(({ cpuMicros }) => (cpuMicros === null ? [] : [cpuMicros]));

export const cpuMedian = (rounds: readonly Round[]): number | null => {
  const told = cpuTimes(rounds);
  return told.length === 0 ? null : round(median(told));
};

/** Of the round that cost least. Whatever else the machine does only ever adds, so this one tells most of the program itself. */
export const cpuLeast = (rounds: readonly Round[]): number | null => {
  const told = cpuTimes(rounds);
  return told.length === 0 ? null : round(Math.min(...told));
};

/** `236.1 µs CPU, 198.4 at least`. */
export const cpuText = (median: number, least: number | null): string =>
  `${median.toFixed(1).padStart(6)} µs CPU${least === null ? '' : `, ${least.toFixed(1).padStart(6)} at least`}`;
