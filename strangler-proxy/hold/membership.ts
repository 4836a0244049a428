import { hostname } from 'node:os';
import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { type ConsulSession, createSession } from '@strangler/platform/consul/session.ts';
import { type HoldAck, holdKeys, type LiveProxy, liveProxySchema } from '@strangler/platform/contracts/hold-ack.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Agreed } from './agreement.ts';

export type MembershipOptions = {
  consul: ConsulClient;
  store: FlagStore;
  /** The key under which flags stand in Consul. */
  root: string;
  id: string;
  /** Where this proxy's admin port is. */
  admin: string;
  log: Log;
  /** The session was got or lost; `leftMs` has changed by more than time. */
  onChange(): void;
  /** A slice is known to have this epoch; called before the membership that it belongs to begins. */
  onEpoch(slice: string, epoch: number): void;
};

/** This proxy among those that are asked before ownership moves. */
export type Membership = {
  /** Resolves after the first try to become a member, whatever came of it. */
  tried: Promise<void>;
  /** For how long this proxy is surely asked; 0 when it is not. */
  leftMs(): number;
  /** The session by which Consul knows this proxy; null while it does not. */
  session(): ConsulSession | null;
  /** Puts in Consul what the workers agree on, and takes out what they no longer do; tries until it is so. */
  acknowledge(agreed: ReadonlyMap<string, Agreed>): void;
  /** Ends the session, and with it all that it holds. Never throws. */
  leave(): Promise<void>;
};

/** The least that Consul takes: the longer it is, the longer a cut-over waits for a proxy that died. */
const sessionTtlMs = 10_000;
const backoff = { baseMs: 100, capMs: 2_000 };
const rivalLookMs = 500;

/** Keeps this proxy's key in Consul under a session of its own, and acknowledgements of holds with it. */
export const keepMembership = (options: MembershipOptions): Membership => {
  const { consul, store, id, admin, log, onChange, onEpoch } = options;
  const keys = holdKeys(options.root);
  const stopping = new AbortController();
  const { promise: tried, resolve: hasTried } = Promise.withResolvers<void>();
  let session: ConsulSession | null = null;

  async function keep(): Promise<void> {
    let delayMs: number | undefined;
    while (!stopping.signal.aborted) {
      try {
        await belong();
        delayMs = undefined;
      } catch (error) {
        if (!stopping.signal.aborted) log.warn({ err: error }, 'not known to Consul as a live proxy; trying on');
        delayMs = nextBackoffMs(delayMs, backoff);
      }
      hasTried();
      await pause(delayMs ?? 0, stopping.signal);
    }
  }

  /** Is a member until the session is lost. */
  async function belong(): Promise<void> {
    const ended = Promise.withResolvers<void>();
    const mine = await createSession(consul, {
      name: `strangler-proxy ${id}`,
      ttlMs: sessionTtlMs,
      behavior: 'delete',
      lost: () => ended.resolve(),
    });
    const leave = () => ended.resolve();
    stopping.signal.addEventListener('abort', leave, { once: true });
    try {
      await takePlace(mine);
      // Only now: whoever moves ownership after this look sees the key, and before it the look sees what they wrote.
      for (const [slice, { document }] of (await store.list()).flags) onEpoch(slice, document.epoch);
      session = mine;
      acks.sessionIs(mine);
      hasTried();
      onChange();
      if (!stopping.signal.aborted) await ended.promise;
    } finally {
      stopping.signal.removeEventListener('abort', leave);
      session = null;
      acks.sessionIs(null);
      onChange();
      await mine.destroy();
    }
  }

  async function takePlace(mine: ConsulSession): Promise<void> {
    const self: LiveProxy = { id, admin, host: hostname(), pid: process.pid, at: new Date().toISOString() };
    for (let said = false; ; ) {
      stopping.signal.throwIfAborted();
      if (!mine.alive()) throw new Error(`the session ended before ${keys.proxy(id)} could be had`);
      if (await consul.kv.put(keys.proxy(id), JSON.stringify(self), { acquire: mine.id })) return;
      const other = await consul.kv.get(keys.proxy(id), { consistent: true });
      if (other?.session === undefined) {
        await pause(backoff.baseMs, stopping.signal);
        continue;
      }
      if (isOfDeadProcess(other.value)) {
        const dead = other.session;
        await consul.connection.call('session.destroy', 'write', (client, wire) =>
          client.session.destroy({ id: dead, ...wire }),
        );
        continue;
      }
      if (!said)
        log.error({ key: keys.proxy(id), held: other.value }, 'another proxy has this id; waiting for it to go');
      said = true;
      hasTried();
      await pause(rivalLookMs, stopping.signal);
    }
  }

  const acks = keepAcks({ consul, log, keyOf: (slice) => keys.ack(slice, id), signal: stopping.signal });
  const keeping = keep();
  return {
    tried,
    leftMs: () => session?.leftMs() ?? 0,
    session: () => session,
    acknowledge: acks.are,
    async leave() {
      stopping.abort();
      await keeping;
      await acks.settled();
    },
  };
};

/** The predecessor on this machine, killed before it could end its session. */
const isOfDeadProcess = (value: string): boolean => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    return false;
  }
  const other = liveProxySchema.safeParse(parsed);
  if (!other.success || other.data.host !== hostname()) return false;
  // In a container the successor has the number of its predecessor.
  if (other.data.pid === process.pid) return true;
  try {
    process.kill(other.data.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
};

type AckOptions = { consul: ConsulClient; log: Log; keyOf(slice: string): string; signal: AbortSignal };

/** Makes the acknowledgements in Consul what they should be, one call at a time. */
const keepAcks = ({ consul, log, keyOf, signal }: AckOptions) => {
  let wanted: ReadonlyMap<string, Agreed> = new Map();
  let session: ConsulSession | null = null;
  /** What was written, by slice; what an ended session wrote has gone with it. */
  let written = new Map<string, string>();
  let working: Promise<void> | null = null;

  const nextStep = (): (() => Promise<void>) | null => {
    const held = session;
    if (held === null) return null;
    for (const slice of written.keys()) {
      if (!wanted.has(slice)) {
        return async () => {
          await consul.kv.delete(keyOf(slice));
          if (session === held) written.delete(slice);
        };
      }
    }
    for (const [slice, { epoch, changeId, workers, heldNow }] of wanted) {
      const content = `${changeId} of ${workers}`;
      if (written.get(slice) === content) continue;
      return async () => {
        const ack: HoldAck = { epoch, changeId, workers, heldNow, at: new Date().toISOString() };
        // Noted first: where the outcome stays unknown, the key is taken out when the hold is over.
        if (session === held) written.set(slice, '');
        if (!(await consul.kv.put(keyOf(slice), JSON.stringify(ack), { acquire: held.id }))) {
          throw new Error(`Consul did not let session ${held.id} write ${keyOf(slice)}`);
        }
        if (session === held) written.set(slice, content);
        log.info({ slice, ...ack }, 'hold acknowledged');
      };
    }
    return null;
  };

  async function work(): Promise<void> {
    let delayMs: number | undefined;
    for (let step = nextStep(); step !== null && !signal.aborted; step = nextStep()) {
      try {
        await step();
        delayMs = undefined;
      } catch (error) {
        log.warn({ err: error }, 'an acknowledgement of a hold could not be brought up to date; trying on');
        delayMs = nextBackoffMs(delayMs, backoff);
        await pause(delayMs, signal);
      }
    }
  }

  const wake = (): void => {
    working ??= work().finally(() => {
      working = null;
      if (!signal.aborted && nextStep() !== null) wake();
    });
  };

  return {
    are(agreed: ReadonlyMap<string, Agreed>) {
      wanted = agreed;
      wake();
    },
    sessionIs(now: ConsulSession | null) {
      session = now;
      written = new Map();
      if (now !== null) wake();
    },
    settled: async () => {
      await working;
    },
  };
};
