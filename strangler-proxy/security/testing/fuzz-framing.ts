import { eventually } from '@strangler/platform/testing/eventually.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { startTransparentProxy } from '../../testing/start-transparent-proxy.ts';
import { fuzzedBytes, type Random } from './fuzz-requests.ts';
import type { RecordingUpstream } from './recording-upstream.ts';

export type FuzzFramingOptions = {
  upstream: RecordingUpstream;
  /** How many connections' worth of bytes. */
  runs: number;
  random: Random;
  concurrency?: number;
  onProgress?: (done: number) => void;
  signal?: AbortSignal;
};

export type FuzzFramingReport = {
  runs: number;
  /** Requests that the proxy sent on, and those that it answered with 4xx or 5xx by itself. */
  forwarded: number;
  refused: number;
  /** Requests that the upstream has read whole. */
  seen: number;
  /** Connections on which nothing ended them in time. */
  hung: string[];
  /** Requests at the upstream that the proxy does not know of, or knows as others. */
  foreign: string[];
  defects: string[];
  /** Growth of the heap's live part and buffers from a tenth of the way to the end, in MiB. */
  grownMiB: number;
};

const patienceMs = 20_000;

const memoryMiB = (): number => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return Math.round((heapUsed + external) / 1_024 ** 2);
};

/**
 * Sends what no honest client sends, and looks who has understood what. The proxy gives each request an id of its own, which
 * nobody outside can know: a request at the upstream without one, or with one twice, is one that was smuggled through.
 */
export const fuzzFraming = async (options: FuzzFramingOptions): Promise<FuzzFramingReport> => {
  const { upstream, runs, random, concurrency = 64, onProgress, signal } = options;
  const proxy = await startTransparentProxy({
    monolith: [upstream.origin],
    clientIdleTimeoutMs: 300,
    answerTimeoutMs: 2_000,
    headersTimeoutMs: 400,
    keepAliveTimeoutMs: 200,
  });
  const known = new Map<string, { request: string; left: number }>();
  const report: FuzzFramingReport = {
    ...{ runs, forwarded: 0, refused: 0, seen: 0, hung: [], foreign: [], defects: [], grownMiB: 0 },
  };
  const takeFinished = (): void => {
    for (const { method, facts, requestId, attempts, outcome } of proxy.finished.splice(0)) {
      if (outcome.kind === 'defect') report.defects.push(outcome.message);
      if (requestId === null || facts === null || attempts.length === 0) report.refused += 1;
      else {
        report.forwarded += 1;
        known.set(requestId, { request: `${method} ${facts.path}`, left: attempts.length });
      }
    }
    proxy.outcomes.length = 0;
  };

  try {
    let next = 0;
    let startMiB = memoryMiB();
    const worker = async (): Promise<void> => {
      while (next < runs && signal?.aborted !== true) {
        const turn = next;
        next += 1;
        if (turn === Math.floor(runs / 10)) startMiB = memoryMiB();
        const { packets } = fuzzedBytes(random, `f${turn}`);
        // What is left hanging is ended by the proxy's own times; by ours only where it has none.
        const answer = await rawHttp({ port: proxy.port, bytes: packets, until: 'close', timeoutMs: patienceMs });
        if (answer.ended === 'timeout') report.hung.push(JSON.stringify(packets));
        takeFinished();
        if (turn % 500 === 0) onProgress?.(turn);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    await eventually(() => proxy.inFlight() === 0, { what: 'the last request at the proxy' });
    const alive = await rawHttp({
      port: proxy.port,
      bytes: 'GET /after HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n',
      until: 'close',
    });
    if (alive.head?.status !== 200)
      report.defects.push(`afterwards an ordinary request was answered ${alive.head?.status}`);
    takeFinished();
    const seen = await eventually(async () => {
      const all = await upstream.seen();
      return all.some(({ target }) => target === '/after') ? all : null;
    });
    for (const { method, target, headers } of seen) {
      report.seen += 1;
      const request = `${method} ${target.split('?', 1)[0]}`;
      const one = known.get(headers['x-request-id'] ?? '');
      if (one === undefined || one.request !== request || one.left === 0) report.foreign.push(request);
      else one.left -= 1;
    }
    report.grownMiB = Math.max(0, memoryMiB() - startMiB);
    return report;
  } finally {
    await proxy.close();
  }
};
