import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Agent, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pause } from '@strangler/platform/backoff.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { ProxyProgram } from '../../testing/proxy-program.ts';
import { startProxyProgram } from '../../testing/proxy-program.ts';
import type { AttackOrder, AttackReport } from './attacker.ts';

/** What an honest client has seen for a while, and what the worker took. */
export type Figures = { requests: number; failed: number; p50Ms: number; p99Ms: number };

export type AbuseFigures = {
  attack: string;
  connections: number;
  before: Figures;
  during: Figures;
  /** Closed by the proxy within the time that was given it. */
  cut: number;
  /** Until all that had to be were closed; null where not all were. */
  cutAfterMs: number | null;
  /** The worker's resident memory, in MiB. */
  residentMiB: { before: number; highest: number };
};

export type AbuseRig = {
  proxy: ProxyProgram;
  port: number;
  run(plan: AttackPlan): Promise<AbuseFigures>;
  /** One sample of a metric by the beginning of its line; 0 where it is not there. */
  metric(beginning: string): Promise<number>;
  close(): Promise<void>;
};

export type AttackPlan = {
  name: string;
  attack: AttackOrder['attack'];
  connections: number;
  /** How long the honest client asks, before and during. */
  forMs: number;
  /**
   * How many of the connections the proxy must close, and within what time. `released`: no request may be under way any more;
   * who does not read does not see that the connection is closed.
   */
  mustCut: number | 'released';
  withinMs: number;
};

const largeBytes = 64 * 1_024 ** 2;

/** A monolith of a few answers: a small one, a large one, one that takes its time, and whatever is sent is read. */
const startMonolith = async () => {
  const piece = Buffer.alloc(64 * 1_024, 'x');
  const server = createServer((req, res) => {
    req.on('error', () => {});
    res.on('error', () => {});
    if (req.url === '/large') {
      let left = largeBytes / piece.length;
      const more = (): void => {
        while (left > 0 && !res.destroyed) {
          left -= 1;
          if (!res.write(piece)) return;
        }
        res.end();
      };
      res.on('drain', more);
      more();
    } else if (req.url === '/wait') setTimeout(() => res.end('late'), 1_000);
    else req.resume().on('end', () => res.end('quick'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

/** Asks one request after the other on four connections; each that is not answered 200 within 5 s has failed. */
const askHonestly = async (port: number, forMs: number): Promise<Figures> => {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const tookMs: number[] = [];
  let failed = 0;
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const startedMs = performance.now();
      const fail = (): void => {
        failed += 1;
        resolve();
      };
      const request = get({ port, host: '127.0.0.1', path: '/quick', agent, timeout: 5_000 }, (answer) => {
        answer.resume();
        answer.once('error', fail);
        answer.once('end', () => {
          tookMs.push(performance.now() - startedMs);
          if (answer.statusCode !== 200) failed += 1;
          resolve();
        });
      });
      request.once('timeout', () => request.destroy(new Error('no answer within 5 s')));
      request.once('error', fail);
    });
  const endMs = performance.now() + forMs;
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      while (performance.now() < endMs) {
        await ask();
        await pause(5);
      }
    }),
  );
  agent.destroy();
  tookMs.sort((a, b) => a - b);
  const at = (share: number): number => Math.round((tookMs[Math.floor(tookMs.length * share)] ?? 0) * 10) / 10;
  return { requests: tookMs.length + failed, failed, p50Ms: at(0.5), p99Ms: at(0.99) };
};

const residentMiBOf = async (pid: number): Promise<number> =>
  Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024);

/** Somebody who means no good, as a process of their own. */
const startAttacker = (order: AttackOrder) => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(join(import.meta.dirname, 'attacker.ts'), [], { env, execArgv: [] });
  let latest: AttackReport = { cut: 0, open: 0 };
  child.on('message', (report: AttackReport) => {
    latest = report;
  });
  child.send(order);
  return {
    latest: () => latest,
    end: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
};

/** The complete proxy as a program of its own, with one worker, before a server that only answers. */
export const openAbuseRig = async (environment: Record<string, string>): Promise<AbuseRig> => {
  const monolith = await startMonolith();
  const proxy = await startProxyProgram({
    MONOLITH_URL: monolith.origin,
    WORKERS: '1',
    LOG_LEVEL: 'info',
    ACCESS_LOG: 'none',
    DRAIN_GRACE: '100',
    ...environment,
  });
  const port = Number(new URL(proxy.url).port);
  const { pid } = (await proxy.status()).workers[0]!;
  return {
    proxy,
    port,
    async metric(beginning) {
      const line = (await proxy.metrics()).split('\n').find((one) => one.startsWith(beginning));
      return Number(line?.split(' ').at(-1) ?? 0);
    },
    async run({ name, attack, connections, forMs, mustCut, withinMs }) {
      const before = await askHonestly(port, forMs);
      const residentBefore = await residentMiBOf(pid);
      let highest = residentBefore;
      const watching = setInterval(async () => {
        highest = Math.max(highest, await residentMiBOf(pid).catch(() => 0));
      }, 100);
      const startedMs = performance.now();
      const attacker = startAttacker({ attack, port, count: connections });
      try {
        await eventually(() => attacker.latest().open + attacker.latest().cut > 0, { what: 'the attack' });
        const during = await askHonestly(port, forMs);
        const isOver = async (): Promise<boolean> =>
          mustCut === 'released' ? (await proxy.status()).workers[0]!.inFlight === 0 : attacker.latest().cut >= mustCut;
        const cutAfterMs = await eventually(isOver, {
          withinMs: Math.max(1, withinMs - (performance.now() - startedMs)),
        }).then(
          () => Math.round(performance.now() - startedMs),
          () => null,
        );
        const { cut } = attacker.latest();
        return {
          attack: name,
          connections,
          before,
          during,
          cut,
          cutAfterMs,
          residentMiB: { before: residentBefore, highest },
        };
      } finally {
        clearInterval(watching);
        await attacker.end();
        await eventually(async () => (await proxy.status()).workers[0]!.inFlight === 0);
      }
    },
    async close() {
      await proxy.stop('SIGKILL');
      monolith.server.close();
      monolith.server.closeAllConnections();
    },
  };
};

/** A line for people. */
export const formatFigures = ({
  attack,
  connections,
  before,
  during,
  cut,
  cutAfterMs,
  residentMiB,
}: AbuseFigures): string =>
  `${attack}: ${connections} connections, ${cut} closed${cutAfterMs === null ? '' : `, all that had to be within ${cutAfterMs} ms`}; honest p99 ${before.p99Ms} → ${during.p99Ms} ms, ` +
  `${during.failed} of ${during.requests} failed; memory ${residentMiB.before} → ${residentMiB.highest} MiB`;
