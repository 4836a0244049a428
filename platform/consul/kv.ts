import type { Connection } from './connection.ts';
import { ConsulRefused } from './errors.ts';

export type KvEntry = {
  value: string;
  /** Grows with every change of the key; what `cas` compares. */
  modifyIndex: number;
  /** The session that holds the key, if one does. */
  session?: string;
};

export type ReadOptions = {
  /** Ask the leader to prove that it still leads before it answers; slower, never stale. */
  consistent?: boolean;
  timeoutMs?: number;
  signal?: AbortSignal;
};

export type PutOptions = {
  /** Write only if the key's modifyIndex is this; 0: only if there is no such key. */
  cas?: number;
  /** Write only by taking the key's lock for this session. */
  acquire?: string;
  /** Write and give the lock back, if this session holds it. */
  release?: string;
  timeoutMs?: number;
};

export type KvOperation =
  | { verb?: 'set'; key: string; value: string; cas?: number }
  | { verb: 'delete'; key: string; cas?: number }
  /** Fails the transaction unless the key's modifyIndex is this; 0: unless there is no such key. */
  | { verb: 'check'; key: string; modifyIndex: number };

export type TxnOutcome = 'committed' | { failed: number; reason: string };

export type Kv = {
  get(key: string, options?: ReadOptions): Promise<KvEntry | undefined>;
  /** False: `cas`, `acquire` or `release` did not hold, and nothing was written. Throws `OutcomeUnknown`. */
  put(key: string, value: string, options?: PutOptions): Promise<boolean>;
  /** All or nothing, 64 operations at most; `failed` is the index of the operation that did not hold. Throws `OutcomeUnknown`. */
  txn(operations: readonly KvOperation[]): Promise<TxnOutcome>;
  /** Every key that starts with the prefix, in order. */
  list(prefix: string, options?: ReadOptions): Promise<Map<string, KvEntry>>;
  /** False: `cas` did not hold. True also when there was no such key. Throws `OutcomeUnknown`. */
  delete(key: string, options?: { cas?: number; timeoutMs?: number }): Promise<boolean>;
};

/** The agent's own bound on one transaction, in every version since 1.0. */
const maxTxnOperations = 64;

export type WireEntry = { Key: string; Value: string | null; ModifyIndex: number; Session?: string };

export function entryOf(wire: WireEntry): KvEntry {
  const entry: KvEntry = { value: wire.Value ?? '', modifyIndex: wire.ModifyIndex };
  return wire.Session === undefined ? entry : { ...entry, session: wire.Session };
}

export function entriesOf(wire: readonly WireEntry[]): Map<string, KvEntry> {
  return new Map(wire.map((entry) => [entry.Key, entryOf(entry)]));
}

/** Consul refuses nothing here: a leading slash makes another key, an empty one the whole store. */
export function checkKey(key: string): string {
  if (key === '' || key.startsWith('/')) {
    throw new TypeError(`a Consul key: expected some/path without a leading slash, found ${JSON.stringify(key)}`);
  }
  return key;
}

export function createKv(connection: Connection): Kv {
  return {
    async get(key, { consistent, ...limits } = {}) {
      checkKey(key);
      const found: unknown = await connection.call(
        `kv.get ${key}`,
        'read',
        (consul, wire) => consul.kv.get({ key, ...wire, ...(consistent ? { consistent } : {}) }),
        limits,
      );
      return found ? entryOf(found as WireEntry) : undefined;
    },

    async put(key, value, { timeoutMs, ...conditions } = {}) {
      const answer: unknown = await connection.call(
        `kv.put ${checkKey(key)}`,
        'write',
        (consul, wire) => consul.kv.set({ key, value, ...conditions, ...wire }),
        { timeoutMs },
      );
      return isTrue(answer);
    },

    async txn(operations) {
      if (operations.length === 0) return 'committed';
      if (operations.length > maxTxnOperations) {
        throw new RangeError(
          `a Consul transaction: expected at most ${maxTxnOperations} operations, found ${operations.length}`,
        );
      }
      try {
        await connection.call('txn', 'write', (consul, wire) => {
          // The package's types name neither the wire's capitals nor its options.
          const create = consul.transaction.create.bind(consul.transaction) as (
            ops: object[],
            more: object,
          ) => Promise<unknown>;
          return create(operations.map(wireOperation), wire);
        });
        return 'committed';
      } catch (error) {
        if (error instanceof ConsulRefused && error.status === 409) return firstFailure(error.body);
        throw error;
      }
    },

    async list(prefix, { consistent, ...limits } = {}) {
      const found: unknown = await connection.call(
        `kv.list ${prefix}`,
        'read',
        (consul, wire) => consul.kv.get({ key: prefix, recurse: true, ...wire, ...(consistent ? { consistent } : {}) }),
        limits,
      );
      return entriesOf((found as WireEntry[] | undefined) ?? []);
    },

    async delete(key, { cas, timeoutMs } = {}) {
      const answer: unknown = await connection.call(
        `kv.delete ${checkKey(key)}`,
        'write',
        (consul, wire) => consul.kv.del({ key, ...(cas === undefined ? {} : { cas }), ...wire }),
        { timeoutMs },
      );
      return isTrue(answer);
    },
  };
}

/** The package gives `false` as undefined. */
function isTrue(answer: unknown): boolean {
  return answer === true;
}

function wireOperation(operation: KvOperation): object {
  const key = checkKey(operation.key);
  switch (operation.verb) {
    case 'delete':
      return { KV: { Verb: operation.cas === undefined ? 'delete' : 'delete-cas', Key: key, Index: operation.cas } };
    case 'check':
      return operation.modifyIndex === 0
        ? { KV: { Verb: 'check-not-exists', Key: key } }
        : { KV: { Verb: 'check-index', Key: key, Index: operation.modifyIndex } };
    default: {
      const value = Buffer.from(operation.value).toString('base64');
      return {
        KV: { Verb: operation.cas === undefined ? 'set' : 'cas', Key: key, Value: value, Index: operation.cas },
      };
    }
  }
}

function firstFailure(body: unknown): TxnOutcome {
  const errors = (body as { Errors?: { OpIndex: number; What: string }[] } | undefined)?.Errors ?? [];
  const [first] = errors;
  return first ? { failed: first.OpIndex, reason: first.What } : { failed: -1, reason: JSON.stringify(body) };
}
