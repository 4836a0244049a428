import { describe, expect, test } from '@jest/globals';
import { type TrafficLook, type TrafficRates, trafficBetween } from './traffic.ts';

const counted = (monolith: number, service: number): TrafficRates => ({
  reads: { monolith, service, failed: 0 },
  writes: { monolith: 0, service: 0, failed: 0 },
});
const look = (atMs: number, workers: Record<string, [number, number]>): TrafficLook => ({
  atMs,
  counts: Object.entries(workers).map(([worker, [monolith, service]]) => ({
    worker,
    slice: 'catalog',
    rates: counted(monolith, service),
  })),
});

describe('traffic between two looks', () => {
  test('is the sum of what every worker has done, by the second', () => {
    const point = trafficBetween(look(0, { a: [10, 0], b: [5, 5] }), look(2_000, { a: [30, 2], b: [5, 15] }));
    expect(point?.slices.catalog?.reads).toEqual({ monolith: 10, service: 6, failed: 0 });
  });

  test('takes no restarted worker for traffic that went backwards, and no new one for a burst', () => {
    const point = trafficBetween(look(0, { a: [1_000, 0] }), look(1_000, { a: [3, 0], b: [500, 500] }));
    expect(point?.slices.catalog?.reads).toEqual({ monolith: 0, service: 0, failed: 0 });
  });

  test('is nothing where no time has passed', () => {
    expect(trafficBetween(look(5, { a: [1, 1] }), look(5, { a: [2, 2] }))).toBeNull();
  });
});
