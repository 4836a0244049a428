import { describe, expect, test } from '@jest/globals';
import { stages } from '@strangler/platform/contracts/flag-document.ts';
import fc from 'fast-check';
import { type ShadowShares, sampledShare } from './sampling.ts';

const shares: ShadowShares = { sample: 0.5, routes: { 'GET /api/products/:id': 0.1 }, writes: 'dry-run' };
const read = { method: 'GET', template: '/api/products', access: 'read' as const };
const write = { method: 'POST', template: '/api/products', access: 'write' as const };

describe('the share of requests that are compared', () => {
  test('is nothing but at the stages shadow and canary', () => {
    for (const stage of stages) {
      const expected = stage === 'shadow' || stage === 'canary' ? 0.5 : 0;
      expect([stage, sampledShare(shares, { stage }, read)]).toEqual([stage, expected]);
    }
  });

  test('is the route’s own where it has one, and GET’s for a HEAD', () => {
    const one = { ...read, template: '/api/products/:id' };
    expect(sampledShare(shares, { stage: 'shadow' }, one)).toBe(0.1);
    expect(sampledShare(shares, { stage: 'shadow' }, { ...one, method: 'HEAD' })).toBe(0.1);
    expect(sampledShare(shares, { stage: 'shadow' }, { ...one, method: 'PATCH' })).toBe(0.5);
  });

  test('is nothing for writes where they are off', () => {
    expect(sampledShare(shares, { stage: 'shadow' }, write)).toBe(0.5);
    expect(sampledShare({ ...shares, writes: 'off' }, { stage: 'shadow' }, write)).toBe(0);
  });

  test('is scaled by the flag’s percentage and stays a share', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (sample, percent) => {
          const share = sampledShare({ ...shares, sample }, { stage: 'canary', shadow: { percent } }, read);
          expect(share).toBeCloseTo((sample * percent) / 100, 10);
          expect(share).toBeGreaterThanOrEqual(0);
          expect(share).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});
