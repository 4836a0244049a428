import { expect, test } from '@jest/globals';
import type { DiscoveredInstance, Discovery } from './discovery.ts';
import { shareDiscovery } from './share-discovery.ts';

test('several watch a service with one watch at the source, each hears of all instances, and the last to go ends it', () => {
  const said: ((instances: DiscoveredInstance[]) => void)[] = [];
  let open = 0;
  const source: Discovery = {
    watch(_service, onInstances) {
      said.push(onInstances);
      open += 1;
      return {
        close() {
          open -= 1;
        },
      };
    },
    status: () => [],
  };
  const shared = shareDiscovery(source);
  const heard: string[] = [];
  const listen = (name: string) =>
    shared.watch('catalog', (instances) => void heard.push(`${name} ${instances.map(({ id }) => id).join()}`));
  const first = listen('first');
  said[0]!([{ id: 'a', origin: 'http://127.0.0.1:1', passing: true }]);
  const second = listen('second');
  expect([open, heard]).toEqual([1, ['first a', 'second a']]);
  first.close();
  first.close();
  said[0]!([]);
  expect([open, heard.at(-1)]).toEqual([1, 'second ']);
  second.close();
  expect(open).toBe(0);
  listen('third');
  expect([open, said.length]).toEqual([1, 2]);
});
