import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { catalogConfig } from '../config.ts';
import { faults } from './faults.ts';
import { createPlantedFaults } from './planted-faults.ts';

const base = { DATABASE_URL: 'mysql://a:b@127.0.0.1:1/c' };

test('there are thirty faults or more, each of another kind and doing something', () => {
  const all = Object.values(faults);
  expect(all.length).toBeGreaterThanOrEqual(30);
  expect(new Set(all.map(({ says }) => says)).size).toBe(all.length);
  for (const { plant } of all) expect(Object.values(plant()).some((hook) => typeof hook === 'function')).toBe(true);
});

test('a fault is refused by a service that is not in a test', () => {
  for (const NODE_ENV of [undefined, '', 'production']) {
    expect(() => catalogConfig({ ...base, PLANTED_FAULT: 'weak-etag', NODE_ENV })).toThrow(
      'PLANTED_FAULT: makes answers wrong on purpose',
    );
  }
  expect(catalogConfig(base).plantedFault).toBeUndefined();
  expect(catalogConfig({ ...base, PLANTED_FAULT: 'none', NODE_ENV: 'test' }).plantedFault).toBeNull();
});

test('no deployment plants one', () => {
  const compose = readFileSync(new URL('../../../docker-compose.yml', import.meta.url), 'utf8');
  expect(compose).not.toMatch(/PLANTED_FAULT|NODE_ENV/);
});

test('a fault that there is not is told with those that there are', () => {
  expect(() => createPlantedFaults('no-such')).toThrow(/expected one of page-repeats-item, .*found no-such/);
});
