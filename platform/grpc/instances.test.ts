import { expect, test } from '@jest/globals';
import type { ServiceInstance } from '../consul/watch.ts';
import { addressesOf } from './instances.ts';

const instance = (id: string, port?: string): ServiceInstance => ({
  ...{ id, address: '127.0.0.1', port: 80, tags: [], status: 'passing' as const },
  meta: port === undefined ? {} : { grpc_port: port },
});

test('addresses are those of the instances that tell a port, each once', () => {
  const portless: string[] = [];
  const instances = [instance('a', '4001'), instance('b', '4001'), instance('c'), instance('d', '99999')];
  expect(addressesOf(instances, ['127.0.0.1:1'], ({ id }) => portless.push(id))).toEqual(['127.0.0.1:4001']);
  expect(portless).toEqual(['c', 'd']);
});

test('while there is none the last known ones are tried on', () => {
  expect(addressesOf([], ['127.0.0.1:4001'], () => {})).toEqual(['127.0.0.1:4001']);
  expect(addressesOf([instance('c')], ['127.0.0.1:4001'], () => {})).toEqual([]);
});
