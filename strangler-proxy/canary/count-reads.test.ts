import { beforeEach, describe, expect, test } from '@jest/globals';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { AttemptRecord, Finished, RequestOutcome } from '../account/account.ts';
import type { Decision, Side } from '../decide/decision.ts';
import type { ForwardError, ForwardResult } from '../forward/forwarder.ts';
import { createCollector, recentMs } from './collect.ts';
import { createReadCounter, type ReadCounter } from './count-reads.ts';
import { noneOfBoth } from './side-figures.ts';

let flag: FlagDocument;
let counter: ReadCounter;
beforeEach(() => {
  flag = {
    slice: 'catalog',
    stage: 'canary',
    reads: { percent: 25, cohorts: [] },
    writes: { owner: 'monolith' },
    epoch: 1,
    change: { id: 'c1', by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' },
  };
  counter = createReadCounter(['catalog'], () => flag);
});

const decision: Decision = {
  side: 'service',
  reason: 'percentage',
  access: 'read',
  slice: 'catalog',
  service: 'catalog',
  route: '/api/products',
  monolithMayServe: true,
  epoch: 1,
  changeId: 'c1',
  ownWrite: null,
  setCookie: null,
  disclose: false,
};
const at = (side: Side, result: ForwardResult): AttemptRecord => ({
  instance: { id: side, side, service: side, origin: 'http://127.0.0.1:1' },
  result,
});
const answered = (status = 200): ForwardResult => ({ kind: 'answered', status, latencyMs: 7 });
const failed = (error: ForwardError): ForwardResult => ({
  kind: 'failed',
  error,
  phase: 'connect',
  connection: 'fresh',
  detail: '',
  latencyMs: 1,
});
const finish = (
  attempts: AttemptRecord[],
  over: Partial<Decision> = {},
  outcome: RequestOutcome = { kind: 'answered', status: 200 },
) => {
  const finished: Finished = {
    protocol: 'http',
    method: 'GET',
    requestId: null,
    traceparent: null,
    facts: null,
    decision: { ...decision, ...over },
    attempts,
    outcome,
    durationMs: 8,
  };
  counter.finished(finished);
};
const taken = () => {
  const [{ figures } = { figures: noneOfBoth() }] = counter.take();
  const told = ({ requests, errors, latency }: typeof figures.service) =>
    `${requests}/${errors}/${latency.reduce((sum, one) => sum + one, 0)}`;
  return { monolith: told(figures.monolith), service: told(figures.service) };
};

describe('reads of a canary', () => {
  test('count for the side that answered, 5xx as errors', () => {
    finish([at('service', answered())]);
    finish([at('service', answered(404))]);
    finish([at('service', answered(503))]);
    finish([at('monolith', answered())], { side: 'monolith' });
    expect(taken()).toEqual({ service: '3/1/2', monolith: '1/0/1' });
    expect(taken()).toEqual({ service: '0/0/0', monolith: '0/0/0' });
  });

  test('that a retry or the monolith saved are errors of the service all the same', () => {
    finish([at('service', failed('upstream-refused')), at('service', answered())]);
    finish([
      at('service', failed('upstream-reset')),
      at('service', failed('upstream-timeout')),
      at('monolith', answered()),
    ]);
    // Nobody was there to ask.
    finish([at('monolith', answered())]);
    expect(taken()).toEqual({ service: '3/3/0', monolith: '2/0/2' });
    finish([], {}, { kind: 'no-instance', why: 'no-instances', status: 503 });
    expect(taken()).toEqual({ service: '1/1/0', monolith: '0/0/0' });
  });

  test('that the client broke off say nothing about a side', () => {
    finish([at('service', { kind: 'client-aborted', error: 'client-aborted-response', latencyMs: 5 })]);
    finish([at('service', failed('client-stalled-response'))]);
    finish([], {}, { kind: 'client-aborted', error: 'client-aborted-request' });
    expect(taken()).toEqual({ service: '0/0/0', monolith: '0/0/0' });
  });

  test('count only where chance chose the side, and for the document that they were decided under', () => {
    for (const reason of ['cohort', 'forced', 'own-write'] as const) finish([at('service', answered())], { reason });
    finish([at('service', answered())], { changeId: 'c0' });
    finish([at('service', answered())], { access: 'write', reason: 'write-owner' });
    expect(taken()).toEqual({ service: '0/0/0', monolith: '0/0/0' });
    flag = { ...flag, stage: 'reads' };
    finish([at('service', answered())]);
    expect(counter.take()).toEqual([]);
  });
});

describe('what the workers of a proxy have counted', () => {
  let nowMs = 0;
  const reads = (changeId: string, changeAt: string, requests: number) => {
    const figures = noneOfBoth();
    figures.service.requests = requests;
    return [{ slice: 'catalog', changeId, changeAt, figures }];
  };

  test('is summed since the change, and over the last seconds', () => {
    const collector = createCollector(() => nowMs);
    collector.take(reads('c1', '1', 10));
    collector.take(reads('c1', '1', 5));
    nowMs += recentMs + 1;
    collector.take(reads('c1', '1', 2));
    const { recent, since } = collector.of('catalog')!;
    expect([recent.service.requests, since.service.requests]).toEqual([2, 17]);
  });

  test('begins anew with a change, and a worker that is behind does not bring the old one back', () => {
    const collector = createCollector(() => nowMs);
    collector.take(reads('c1', '1', 10));
    collector.take(reads('c2', '2', 1));
    collector.take(reads('c1', '1', 10));
    expect(collector.of('catalog')).toMatchObject({ changeId: 'c2', since: { service: { requests: 1 } } });
  });

  test('is forgotten when no worker speaks of the slice any more', () => {
    const collector = createCollector(() => nowMs);
    collector.take(reads('c1', '1', 10));
    expect(collector.slices()).toEqual(['catalog']);
    nowMs += 3_001;
    expect([collector.slices(), collector.of('catalog')]).toEqual([[], null]);
  });
});
