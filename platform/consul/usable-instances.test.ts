import { expect, test } from '@jest/globals';
import { usableInstances } from './usable-instances.ts';
import type { ServiceInstance } from './watch.ts';

const instance = (id: string, status: ServiceInstance['status']): ServiceInstance => ({
  ...{ id, status, address: '127.0.0.1', port: 80, tags: [], meta: {} },
});

test('those whose checks do not pass are used where no other is there', () => {
  const [passing, warning, critical] = [
    instance('a', 'passing'),
    instance('b', 'warning'),
    instance('c', 'critical'),
  ] as const;
  expect(usableInstances([critical, passing, warning])).toEqual([passing]);
  expect(usableInstances([critical, warning])).toEqual([critical, warning]);
  expect(usableInstances([])).toEqual([]);
});
