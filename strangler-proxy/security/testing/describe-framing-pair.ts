import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { type RawStep, rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type InProcessProxy, startTransparentProxy } from '../../testing/start-transparent-proxy.ts';
import { refusedChunks } from '../../testing/suite-framing.ts';
import { type Expected, type FramingCase, framingCases } from '../framing-cases.ts';
import type { RecordingUpstream, Seen } from './recording-upstream.ts';

const last = (path: string, connection = 'close'): string =>
  `GET ${path} HTTP/1.1\r\nHost: shop.test\r\nConnection: ${connection}\r\n\r\n`;

const steps = (bytes: FramingCase['bytes']): readonly RawStep[] => (typeof bytes === 'string' ? [bytes] : bytes);

/** Bodies that a lenient server would read otherwise, each with a request behind it. */
const badChunks: FramingCase[] = Object.entries(refusedChunks).map(([name, body]) => ({
  name,
  bytes: `POST /in HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n${body}`,
  outcome: { kind: 'refused', connection: 'close' },
}));

/** What the upstream is held to: the noted parts of what it saw. */
const asExpected = ({ headers }: Expected, seen: Seen): Expected => ({
  method: seen.method,
  target: seen.target,
  body: seen.body,
  ...(headers === undefined
    ? {}
    : { headers: Object.fromEntries(Object.keys(headers).map((name) => [name, seen.headers[name] ?? null])) }),
});

/**
 * Runs every case through the proxy at an upstream with a parser of its own. Each is followed on the same connection by a
 * request that closes it: if both ends agree where the case ended that one comes through, and nothing comes between.
 * Where the proxy sends a request on that the upstream itself refuses with 4xx, nobody has seen anything.
 */
export const describeFramingPair = (name: string, start: () => Promise<RecordingUpstream>): void => {
  describe(name, () => {
    let upstream: RecordingUpstream;
    let proxy: InProcessProxy;
    let taken = 0;
    let turn = 0;

    beforeAll(async () => {
      upstream = await start();
      proxy = await startTransparentProxy({ monolith: [upstream.origin], clientIdleTimeoutMs: 1_000 });
    }, 120_000);

    afterAll(async () => {
      await proxy?.close();
      await upstream?.close();
    });

    /** What the upstream has seen since it was asked last. A request sent behind it all shows where to stop. */
    const seenSince = async (): Promise<Seen[]> => {
      turn += 1;
      const mark = `/mark-${turn}`;
      const answer = await rawHttp({ port: proxy.port, bytes: last(mark), until: 'close' });
      expect(answer.statuses).toEqual([200]);
      return await eventually(async () => {
        const all = await upstream.seen();
        const end = all.findIndex(({ target }, at) => at >= taken && target === mark);
        expect(end).not.toBe(-1);
        const since = all.slice(taken, end);
        taken = end + 1;
        return since;
      });
    };

    test.each([...framingCases, ...badChunks].map((one) => [one.name, one] as const))('%s', async (_name, one) => {
      const { outcome } = one;
      const behind = `/behind-${turn}`;
      const bytes = [...steps(one.bytes), last(behind)];
      const isHead = one.name === 'a HEAD';
      const answer = await rawHttp({ port: proxy.port, bytes, until: 'close', timeoutMs: 15_000, isHead });
      const since = await seenSince();
      expect(answer.ended).not.toBe('timeout');
      const final = answer.statuses.filter((status) => status >= 200);
      const tail = { method: 'GET', target: behind, body: '' };
      const kept = outcome.connection === 'keep' ? [tail] : [];

      if (outcome.kind === 'refused') {
        expect(since.map((seen) => asExpected(tail, seen))).toEqual(kept);
        // A body that turns out to be broken when the upstream has begun to answer ends its connection without a word.
        const refusal = outcome.connection === 'keep' ? final.slice(0, -1) : final;
        expect(refusal.filter((status) => status < 400)).toEqual([]);
        if (outcome.status !== undefined) expect(refusal).toEqual([outcome.status]);
        return;
      }
      const whole = [...outcome.requests, ...kept];
      expect(final).toHaveLength(whole.length);
      const accepted = whole.filter((_request, at) => final[at]! < 400);
      expect(accepted.at(-1)).toEqual(whole.at(-1));
      const expected = accepted.map((request) => ({ body: '', ...request }));
      expect(since.map((seen, at) => asExpected(expected[at] ?? tail, seen))).toEqual(expected);
    });

    test('after all of it the upstream has seen nothing that was not accounted for', async () => {
      expect(await seenSince()).toEqual([]);
      expect(proxy.finished.filter((one) => one.outcome.kind === 'defect')).toEqual([]);
      expect(proxy.inFlight()).toBe(0);
    });
  });
};
