import { type ConsulClient, createConsul } from '../consul/client.ts';
import type { Log } from '../log.ts';
import { createConsulFlagStore } from './consul-store.ts';
import { createFileFlagStore } from './file-store.ts';
import type { FlagStore } from './store.ts';

export type OpenedFlagStore = {
  store: FlagStore;
  /** Where the flags are in Consul, and under which key; null for a file. */
  consul: ConsulClient | null;
  root: string | null;
  close(): void;
};

/**
 * Opens the flag store that an address names: `consul://host:port[/root]`, or `file://` and a path, relative or absolute.
 * @throws TypeError saying what was expected and found.
 */
export const openFlagStore = (address: string, { log, token }: { log: Log; token?: string }): OpenedFlagStore => {
  if (address.startsWith('file://')) {
    const path = address.slice('file://'.length);
    if (path === '')
      throw new TypeError('flag store: expected file:// and a path, such as file://flags.json, found no path');
    return { store: createFileFlagStore(path), consul: null, root: null, close: () => {} };
  }
  const parts = /^consul(s?):\/\/([^/]+)(?:\/(.+?))?\/?$/.exec(address);
  if (parts === null) {
    throw new TypeError(`flag store: expected consul://host:port or file://path, found ${JSON.stringify(address)}`);
  }
  const [, tls, host, root] = parts;
  const consul = createConsul({ url: `http${tls}://${host}`, log, ...(token === undefined ? {} : { token }) });
  const store = createConsulFlagStore({ consul, ...(root === undefined ? {} : { root }) });
  return { store, consul, root: root ?? 'strangler', close: () => consul.close() };
};
