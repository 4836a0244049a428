import { expect, test } from '@jest/globals';
import { createConsul } from '../consul/client.ts';
import { createLog } from '../log.ts';
import { eventually, testServers } from '../testing/servers.ts';
import { changeFlag } from './change-flag.ts';
import { createConsulFlagStore } from './consul-store.ts';
import { describeFlagStore } from './store-conformance.ts';

const log = createLog({ name: 'test', level: 'silent' });
const open = (historyLimit = 1000) => {
  const root = `test/flags-${crypto.randomUUID()}`;
  const consul = createConsul({ url: testServers().consulUrl, log });
  const clear = async (): Promise<void> => {
    for (const key of (await consul.kv.list(root)).keys()) await consul.kv.delete(key);
    consul.close();
  };
  return { root, consul, clear, make: () => createConsulFlagStore({ consul, root, historyLimit }) };
};

describeFlagStore("Consul's key-value store", async () => {
  const { root, consul, clear, make } = open();
  return {
    store: make(),
    other: make(),
    vandalise: async (slice, text) => {
      await consul.kv.put(`${root}/slices/${slice}`, text);
    },
    close: clear,
  };
});

test('the history in Consul is bounded and drops the oldest first', async () => {
  const { clear, make } = open(3);
  try {
    const store = make();
    for (const percent of [1, 2, 3, 4, 5]) {
      await changeFlag(store, 'catalog', (document) => ({ ...document, reads: { percent, cohorts: [] } }), {
        by: 'ada',
        reason: '',
      });
    }
    // What is too old goes while nobody waits for it.
    await eventually(async () =>
      expect((await store.history('catalog', 10)).map((document) => document.reads.percent)).toEqual([5, 4, 3]),
    );
  } finally {
    await clear();
  }
});
