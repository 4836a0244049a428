import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createLog } from '../log.ts';
import { watchOldest } from './oldest-age.ts';

test('tells how old the oldest is, nothing where there is none, and its last value where that cannot be looked up', async () => {
  const metrics = new Registry();
  let oldest = async (): Promise<Date | null> => new Date(1_000);
  watchOldest({
    ...{ name: 'things_oldest_age_seconds', help: 'Age of the oldest thing', oldest: () => oldest() },
    ...{ clock: { now: () => new Date(61_500) }, log: createLog({ name: 'test', level: 'silent' }), metrics },
  });
  const told = async () => (await metrics.getSingleMetric('things_oldest_age_seconds')?.get())?.values[0]?.value;
  expect(await told()).toBe(60.5);
  oldest = async () => {
    throw new Error('the database is away');
  };
  expect(await told()).toBe(60.5);
  oldest = async () => new Date(99_000);
  expect(await told()).toBe(0);
  oldest = async () => null;
  expect(await told()).toBe(0);
});
