import { type Backoff, nextBackoffMs, pause } from '../backoff.ts';
import type { ConsulClient } from './client.ts';
import type { Connection } from './connection.ts';
import type { ConsulError } from './errors.ts';
import { checkKey, entriesOf, entryOf, type KvEntry, type WireEntry } from './kv.ts';

export type WatchOptions<Content> = {
  /** The first content, then every changed one, one at a time: the next is asked for when this has returned. */
  onChange(content: Content): void | Promise<void>;
  onError?(error: ConsulError, retryInMs: number): void;
  /** At the first answer, and at the first after an error. */
  onHealthy?(): void;
  signal?: AbortSignal;
  /** How long Consul may hold a question open, 55 s unless told (up to a tenth is added, so that watches spread). */
  waitMs?: number;
  /** How much later than `waitMs` an answer may come before the question is cut, 5 s unless told. */
  graceMs?: number;
};

export type Watch = {
  /** Settles when the first content has been handed to `onChange`, or when stopped before that. */
  readonly first: Promise<'answered' | 'stopped'>;
  /** Settles when the last call of `onChange` has returned and the socket is gone. */
  readonly stopped: Promise<void>;
  stop(): void;
};

export type ServiceInstance = {
  id: string;
  address: string;
  port: number;
  tags: string[];
  meta: Record<string, string>;
  /** The worst of its checks and its node's. */
  status: 'passing' | 'warning' | 'critical';
};

/** The package's types do not name it. */
const consistent = { consistent: true };

type Turn = { index: number; wait: string };
type Question<Content> = {
  name: string;
  ask(connection: Connection, turn: Turn, limits: { timeoutMs: number; signal: AbortSignal }): Promise<Answer<Content>>;
  /** Two contents are the same when this text is. */
  identity(content: Content): string;
};
type Answer<Content> = { index: number; content: Content };

const backoff: Backoff = { baseMs: 100, capMs: 5000 };
/** An answer that says nothing new and came sooner than this is an idle one; several in a row are paced. */
const idleAnswerMs = 50;

/**
 * The index to ask with next, by the rules of Consul's "Blocking Queries" page: start again from 0 when the
 * index went backwards (a restored or restarted server), and never block on less than 1.
 */
export function nextIndex(previous: number, received: number): number {
  return received < previous ? 0 : Math.max(1, received);
}

/**
 * Watches one key; its content is undefined while there is no such key. Like every watch of keys it asks for `consistent`
 * answers: a server that was killed shows states long past while it replays its log.
 */
export function watchKey(consul: ConsulClient, key: string, options: WatchOptions<KvEntry | undefined>): Watch {
  checkKey(key);
  return startWatch(
    consul,
    {
      name: `key ${key}`,
      async ask(connection, turn, limits) {
        const { index, body } = await connection.query<unknown>(
          `watch ${key}`,
          (client, wire) => client.kv.get({ key, ...consistent, ...turn, ...wire }),
          limits,
        );
        return { index, content: body ? entryOf(body as WireEntry) : undefined };
      },
      identity: (entry) => JSON.stringify(entry ?? null),
    },
    options,
  );
}

/** Watches every key that starts with the prefix. */
export function watchPrefix(consul: ConsulClient, prefix: string, options: WatchOptions<Map<string, KvEntry>>): Watch {
  checkKey(prefix);
  return startWatch(
    consul,
    {
      name: `prefix ${prefix}`,
      async ask(connection, turn, limits) {
        const { index, body } = await connection.query<unknown>(
          `watch ${prefix}*`,
          (client, wire) => client.kv.get({ key: prefix, recurse: true, ...consistent, ...turn, ...wire }),
          limits,
        );
        return { index, content: entriesOf((body as WireEntry[] | undefined) ?? []) };
      },
      identity: (entries) => JSON.stringify([...entries]),
    },
    options,
  );
}

/** Watches a service's instances, in the order of their ids: the passing ones, or `include: 'all'` of them. */
export function watchService(
  consul: ConsulClient,
  what: string | { service: string; include?: 'passing' | 'all'; tag?: string },
  options: WatchOptions<ServiceInstance[]>,
): Watch {
  const { service, include = 'passing', tag } = typeof what === 'string' ? { service: what } : what;
  const filter = { ...(include === 'passing' ? { passing: true } : {}), ...(tag === undefined ? {} : { tag }) };
  return startWatch(
    consul,
    {
      name: `service ${service}`,
      async ask(connection, turn, limits) {
        const { index, body } = await connection.query(
          `watch service ${service}`,
          (client, wire) => client.health.service({ service, ...filter, ...turn, ...wire }),
          limits,
        );
        return { index, content: (body as WireService[]).map(instanceOf).sort((a, b) => (a.id < b.id ? -1 : 1)) };
      },
      identity: (instances) => JSON.stringify(instances),
    },
    options,
  );
}

type WireService = {
  Node: { Address: string };
  Service: { ID: string; Address: string; Port: number; Tags: string[] | null; Meta: Record<string, string> | null };
  Checks: { Status: string }[];
};

function instanceOf({ Node, Service, Checks }: WireService): ServiceInstance {
  const statuses = new Set(Checks.map((check) => check.Status));
  return {
    id: Service.ID,
    address: Service.Address || Node.Address,
    port: Service.Port,
    tags: Service.Tags ?? [],
    meta: Service.Meta ?? {},
    status: statuses.has('critical') ? 'critical' : statuses.has('warning') ? 'warning' : 'passing',
  };
}

function startWatch<Content>(consul: ConsulClient, question: Question<Content>, options: WatchOptions<Content>): Watch {
  const log = consul.log.child({ watch: question.name });
  const stopping = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal;
  const connection = consul.dedicated();
  const first = Promise.withResolvers<'answered' | 'stopped'>();

  async function guarded(what: string, handler: () => void | Promise<void>): Promise<void> {
    try {
      await handler();
    } catch (error) {
      log.error({ err: error }, `${what} of a Consul watch failed; the watch goes on`);
    }
  }

  async function run(): Promise<void> {
    const { waitMs = 55_000, graceMs = 5000 } = options;
    let index = 0;
    let seen: string | undefined;
    let health: 'unknown' | 'healthy' | 'failing' = 'unknown';
    let retryInMs: number | undefined;
    let idleAnswers = 0;
    while (!signal.aborted) {
      try {
        const spreadMs = Math.round(waitMs * (1 + 0.1 * Math.random()));
        // Consul itself adds up to a sixteenth to the wait it is asked for.
        const timeoutMs = Math.ceil(spreadMs * (17 / 16)) + graceMs;
        const turn = { index, wait: `${spreadMs}ms` };
        const askedAt = performance.now();
        const answer = await question.ask(connection, turn, { timeoutMs, signal });
        if (signal.aborted) break;
        retryInMs = undefined;
        if (health !== 'healthy') {
          health = 'healthy';
          await guarded('onHealthy', () => options.onHealthy?.());
        }
        const identity = question.identity(answer.content);
        const changed = identity !== seen;
        if (changed) {
          seen = identity;
          await guarded('onChange', () => options.onChange(answer.content));
          first.resolve('answered');
        }
        index = nextIndex(index, answer.index);
        // Questions that do not block (an index of 0, neighbours written without pause) must not make a spinning loop.
        idleAnswers = changed || performance.now() - askedAt > idleAnswerMs ? 0 : idleAnswers + 1;
        if (idleAnswers > 3) await pause(Math.min(100, 5 * idleAnswers), signal);
      } catch (error) {
        if (signal.aborted) break;
        health = 'failing';
        // Not the old index: after a restart Consul may count from below it, and would hold the question open.
        index = 0;
        retryInMs = nextBackoffMs(retryInMs, backoff);
        const delayMs = retryInMs;
        await guarded('onError', () => options.onError?.(error as ConsulError, delayMs));
        await pause(retryInMs, signal);
      }
    }
  }

  const stopped = run().finally(() => {
    connection.close();
    first.resolve('stopped');
  });
  return { first: first.promise, stopped, stop: () => stopping.abort() };
}
