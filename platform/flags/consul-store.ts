import type { ConsulClient } from '../consul/client.ts';
import { OutcomeUnknown } from '../consul/errors.ts';
import type { KvEntry, KvOperation } from '../consul/kv.ts';
import { watchPrefix } from '../consul/watch.ts';
import {
  type FlagDocument,
  FlagDocumentError,
  formatFlagDocument,
  parseFlagDocument,
} from '../contracts/flag-document.ts';
import type { FlagListing, FlagStore, StoredFlag } from './store.ts';

export type ConsulFlagStoreOptions = {
  consul: ConsulClient;
  /** Key under which documents (`<root>/slices/<slice>`) and audit entries (`<root>/audit/<slice>/…`) stand. Default `strangler`. */
  root?: string;
  /** Audit entries kept a slice, the oldest dropped. Default 1000; every follower's own log on disk keeps all. */
  historyLimit?: number;
};

/** Flags in Consul's key-value store, one key a slice, written together with an audit entry in one transaction. */
export const createConsulFlagStore = ({
  consul,
  root = 'strangler',
  historyLimit = 1000,
}: ConsulFlagStoreOptions): FlagStore => {
  const slicePrefix = `${root}/slices/`;
  const auditPrefix = (slice: string): string => `${root}/audit/${slice}/`;

  const get: FlagStore['get'] = async (slice) => {
    const entry = await consul.kv.get(`${slicePrefix}${slice}`, { consistent: true });
    return entry && readEntry(slice, `${slicePrefix}${slice}`, entry);
  };

  const put: FlagStore['put'] = async (document, expected) => {
    const { slice, change } = document;
    const value = formatFlagDocument(document);
    const operations: KvOperation[] = [
      { key: `${slicePrefix}${slice}`, value, cas: expected === null ? 0 : Number(expected) },
      { key: `${auditPrefix(slice)}${change.at}-${change.id}`, value },
    ];
    try {
      if ((await consul.kv.txn(operations)) !== 'committed') return 'conflict';
    } catch (error) {
      if (!(error instanceof OutcomeUnknown)) throw error;
      if (!(await wasWritten(document))) return 'conflict';
    }
    // While writes are held somebody waits for this change. What is not dropped now, the next one drops.
    void dropOldest(slice).catch(() => {});
    return 'written';
  };

  // The audit entry carries the change's own id and is written in the same transaction, so it proves the write even
  // where somebody else has changed the document since.
  const wasWritten = async ({ slice, change }: FlagDocument): Promise<boolean> =>
    (await consul.kv.get(`${auditPrefix(slice)}${change.at}-${change.id}`, { consistent: true })) !== undefined;

  const dropOldest = async (slice: string): Promise<void> => {
    const keys = [...(await consul.kv.list(auditPrefix(slice))).keys()];
    for (const key of keys.slice(0, Math.max(0, keys.length - historyLimit))) await consul.kv.delete(key);
  };

  const history: FlagStore['history'] = async (slice, limit) => {
    const entries = await consul.kv.list(auditPrefix(slice), { consistent: true });
    return [...entries]
      .reverse()
      .slice(0, limit)
      .map(([key, { value }]) => parseFlagDocument(value, key));
  };

  return {
    location: `${consul.url.replace(/^http/, 'consul')}/${slicePrefix}`,
    get,
    put,
    history,
    list: async () => readListing(slicePrefix, await consul.kv.list(slicePrefix, { consistent: true })),
    watch: (watcher, signal) => {
      watchPrefix(consul, slicePrefix, {
        onChange: (entries) => watcher.onChange(readListing(slicePrefix, entries)),
        onError: (error, retryInMs) => watcher.onError(error, retryInMs),
        onHealthy: () => watcher.onHealthy?.(),
        signal,
      });
    },
  };
};

const readEntry = (slice: string, key: string, { value, modifyIndex }: KvEntry): StoredFlag => {
  const document = parseFlagDocument(value, key);
  if (document.slice !== slice)
    throw new FlagDocumentError(`${key}: slice: must be "${slice}", found "${document.slice}"`);
  return { document, index: String(modifyIndex) };
};

const readListing = (prefix: string, entries: ReadonlyMap<string, KvEntry>): FlagListing => {
  const flags = new Map<string, StoredFlag>();
  const refused = new Map<string, FlagDocumentError>();
  for (const [key, entry] of entries) {
    const slice = key.slice(prefix.length);
    try {
      flags.set(slice, readEntry(slice, key, entry));
    } catch (error) {
      refused.set(slice, error as FlagDocumentError);
    }
  }
  return { flags, refused };
};
