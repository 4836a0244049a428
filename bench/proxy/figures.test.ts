import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readWrk } from './load.ts';
import { median, medianRatio } from './ratios.ts';

describe('the median', () => {
  test('has as many values below as above', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values);
        const below = values.filter((value) => value < middle).length;
        const above = values.filter((value) => value > middle).length;
        expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
      }),
    );
  });

  test('of nothing is refused', () => {
    expect(() => median([])).toThrow(RangeError);
  });

  test('ratio is not moved by a machine that is slow for a round', () => {
    expect(medianRatio([10, 1, 10], [5, 0.5, 5])).toBe(2);
    expect(() => medianRatio([1], [1, 2])).toThrow('1 rounds against 2');
  });
});

describe("wrk's report", () => {
  const text = `Running 4s test @ http://127.0.0.1:1/
  Latency Distribution
     50%    1.50ms
     99%    850.00us
  40000 requests in 4.00s, 44.00MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:  10000.50
Transfer/sec:     11.00MB
`;
  test('is read with its rate, its p99 in milliseconds and all its failures', () => {
    expect(readWrk(text)).toEqual({ requestsPerSecond: 10000.5, p99Ms: 0.85, failed: 10 });
  });

  test('that cannot be read is an error, not a zero', () => {
    expect(() => readWrk('unable to connect')).toThrow("expected wrk's report");
  });
});
