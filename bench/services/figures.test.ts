import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Round, reportOf, roundOf } from './figures.ts';
import { contestantNames, contestants, pairs } from './works.ts';

const round = (requestsPerSecond: number, more: Partial<Round> = {}): Round => {
  return { requestsPerSecond, p99Ms: 1, failed: 0, cpuMicros: 100, ...more };
};

describe('a round', () => {
  test('counts what was done by the second, and has the processor pay for what failed too', () => {
    expect(roundOf({ durationsMs: [1, 2, 3], failed: 1, elapsedMs: 500 }, 400)).toEqual({
      requestsPerSecond: 6,
      p99Ms: 3,
      failed: 1,
      cpuMicros: 100,
    });
  });

  test('in which nothing was done is one, and not an error', () => {
    expect(roundOf({ durationsMs: [], failed: 0, elapsedMs: 500 }, 400)).toMatchObject({
      requestsPerSecond: 0,
      cpuMicros: null,
    });
  });
});

describe('the ratios', () => {
  const slowness = fc.array(fc.double({ min: 0.1, max: 1, noNaN: true }), { minLength: 1, maxLength: 7 });

  test('are not moved by a machine that is slow for some rounds', () => {
    fc.assert(
      fc.property(slowness, (factors) => {
        const measured = new Map([
          ['product-grpc' as const, factors.map((factor) => round(200 * factor, { cpuMicros: 50 / factor }))],
          ['product-rest' as const, factors.map((factor) => round(100 * factor, { cpuMicros: 100 / factor }))],
        ]);
        expect(reportOf(measured, pairs).json.ratios).toEqual({ productGrpcVsRest: 2, productGrpcVsRestCpu: 0.5 });
      }),
    );
  });

  test('of what did nothing in some round, or was not told, are left out', () => {
    const measured = new Map([
      ['stock-grpc' as const, [round(10), round(0)]],
      ['stock-rest' as const, [round(10), round(10, { cpuMicros: null })]],
    ]);
    expect(reportOf(measured, pairs).json.ratios).toEqual({});
  });

  test('and failures are in the table', () => {
    const measured = new Map([
      ['stock-grpc' as const, [round(30, { failed: 2 })]],
      ['stock-rest' as const, [round(10)]],
    ]);
    const { table } = reportOf(measured, pairs);
    expect(table).toMatch(/^stock-grpc .* 2 failed$/m);
    expect(table).toMatch(/^stock-grpc \/ stock-rest = 3, CPU a request 1$/m);
  });
});

test('every contestant is in a pair, and is measured at one service', () => {
  const inPairs = new Set(pairs.flatMap(({ ours, theirs }) => [ours, theirs]));
  expect([...contestantNames].filter((name) => !inPairs.has(name))).toEqual([]);
  expect(contestants.map(({ service }) => service)).toEqual([
    ...['catalog', 'catalog', 'catalogCached', 'catalogCached', 'catalog', 'catalog', 'catalogCached'],
    ...Array(5).fill('inventory'),
  ]);
});
