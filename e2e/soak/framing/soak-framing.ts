import {
  type AbuseFigures,
  type AttackPlan,
  formatFigures,
  openAbuseRig,
} from '@strangler/strangler-proxy/security/testing/abuse.ts';
import { type FuzzFramingReport, fuzzFraming } from '@strangler/strangler-proxy/security/testing/fuzz-framing.ts';
import { startLenientUpstream } from '@strangler/strangler-proxy/security/testing/recording-upstream.ts';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import type { Progress } from '../../demo/progress.ts';
import { startNginxUpstream } from '../../security/nginx-upstream.ts';
import { seededRandom } from '../../traffic/random.ts';

export type SoakFramingOptions = {
  seed: number;
  /** Connections with malformed requests, half of them before nginx, half before a Node server that forgives what it can. */
  runs: number;
  /** Connections of somebody who says nothing on them. */
  idle: number;
  progress: Progress;
  signal: AbortSignal;
};

export type SoakFramingReport = {
  ok: boolean;
  bounds: Bound[];
  fuzz: Record<'nginx' | 'lenient', FuzzFramingReport>;
  abuse: AbuseFigures[];
};

/** Malformed requests by the thousand, then everything that somebody can do with connections, in a size that hurts. */
export const soakFraming = async (options: SoakFramingOptions): Promise<SoakFramingReport> => {
  const { seed, runs, idle, progress, signal } = options;
  const fuzzBefore = async (name: string, start: typeof startNginxUpstream, turn: number) => {
    const upstream = await start();
    try {
      const report = await fuzzFraming({
        ...{ upstream, runs: Math.ceil(runs / 2), random: seededRandom(seed + turn), signal },
        onProgress: (done) => progress.say(`${done} of ${Math.ceil(runs / 2)} connections before ${name}`),
      });
      const { forwarded, seen, refused, grownMiB } = report;
      progress.say(`${name}: ${forwarded} sent on, ${seen} seen whole, ${refused} refused, memory + ${grownMiB} MiB`);
      return report;
    } finally {
      await upstream.close();
    }
  };
  const fuzz = {
    nginx: await fuzzBefore('nginx', startNginxUpstream, 0),
    lenient: await fuzzBefore('a lenient Node server', startLenientUpstream, 1),
  };

  const abuse: AbuseFigures[] = [];
  // With the bounds that everybody gets who sets none, but for the one that would take a minute to be seen.
  const rig = await openAbuseRig({ CLIENT_IDLE_TIMEOUT: '10s' });
  try {
    const usual = { forMs: 5_000, withinMs: 90_000 };
    const plans: AttackPlan[] = [
      {
        ...usual,
        name: 'idle connections',
        attack: 'idleConnections',
        connections: idle,
        mustCut: Math.max(0, idle - 8_192),
      },
      { ...usual, name: 'slow heads', attack: 'slowHeads', connections: 2_000, mustCut: 2_000 },
      { ...usual, name: 'slow bodies', attack: 'slowBodies', connections: 1_000, mustCut: 1_000 },
      { ...usual, name: 'header floods', attack: 'headerFloods', connections: 500, mustCut: 500 },
      // The kernel takes tens of megabytes for each of these; with more of them it is the kernel that is measured.
      { ...usual, name: 'slow readers', attack: 'slowReaders', connections: 40, mustCut: 'released' },
      { ...usual, name: 'abandoned pipelines', attack: 'abandonedPipelines', connections: 2_000, mustCut: 2_000 },
    ];
    for (const plan of plans) {
      if (signal.aborted) break;
      const figures = await rig.run(plan);
      abuse.push(figures);
      progress.say(formatFigures(figures));
    }
  } finally {
    await rig.close();
  }

  const both = Object.values(fuzz);
  const sum = (figure: (one: FuzzFramingReport) => number): number => both.reduce((all, one) => all + figure(one), 0);
  const bounds = [
    atLeast(
      'connections with malformed requests',
      sum((one) => one.runs),
      runs,
    ),
    atLeast(
      'requests of theirs that were sent on',
      sum((one) => one.forwarded),
      Math.floor(runs / 10),
    ),
    atMost(
      'requests at an upstream that the proxy does not know',
      sum((one) => one.foreign.length),
      0,
    ),
    atMost(
      'connections that hung',
      sum((one) => one.hung.length),
      0,
    ),
    atMost(
      'defects',
      sum((one) => one.defects.length),
      0,
    ),
    atMost('MiB that memory grew by', Math.max(...both.map((one) => one.grownMiB)), 128),
    atMost(
      'honest requests that failed beside attacks',
      abuse.reduce((all, one) => all + one.during.failed, 0),
      0,
    ),
    atMost('ms of p99 of an honest client beside attacks', Math.max(...abuse.map((one) => one.during.p99Ms)), 2_000),
    atMost('attacks of which too little was closed', abuse.filter((one) => one.cutAfterMs === null).length, 0),
  ];
  return { ok: bounds.every(({ ok }) => ok), bounds, fuzz, abuse };
};
