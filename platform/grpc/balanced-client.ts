import { Metadata, status } from '@grpc/grpc-js';
import { type Backoff, nextBackoffMs, pause } from '../backoff.ts';
import { createGrpcClient, type GrpcCallOptions, type GrpcClient, type GrpcClientOptions } from './client.ts';
import { GrpcCallError } from './errors.ts';
import type { GrpcInstances } from './instances.ts';
import { pickInstance } from './pick-instance.ts';

export type BalancedGrpcClient = {
  /**
   * Calls a unary method of one instance. One that is UNAVAILABLE is left out for a while; an idempotent call then goes to
   * another. Throws `GrpcCallError`, UNAVAILABLE where no instance is known, or the signal's reason.
   */
  call<Response extends object>(method: string, request: object, options?: GrpcCallOptions): Promise<Response>;
  /**
   * Follows a server-streaming method for as long as the loop runs: where a stream ends, is cut or comes to its deadline, it is
   * asked for again, at another instance if there is one, with the same request. What was said in between is not told: it is
   * for streams that begin with how things are. Throws what cannot be mended by asking again, and the signal's reason.
   */
  follow<Response extends object>(method: string, request: object, options?: FollowOptions): AsyncIterable<Response>;
  /** The calls that wait for an answer, by address. */
  outstanding(): Record<string, number>;
  close(): void;
};

/** `deadlineMs` is of each stream, not of the whole. */
export type FollowOptions = Omit<GrpcCallOptions, 'idempotent'> & {
  /** Called before a stream is asked for again, with why. */
  onReopen?(reason: GrpcCallError | 'ended'): void;
};

export type BalancedGrpcClientOptions = Omit<GrpcClientOptions, 'address'> & {
  instances: GrpcInstances;
  /** How long an instance that was UNAVAILABLE is left out, 1000 ms unless told. */
  ejectMs?: number;
};

type Instance = { client: GrpcClient; outstanding: number; ejectedUntilMs: number; gone: boolean };

const backoff: Backoff = { baseMs: 25, capMs: 2_000 };

/** A stream that lasted so long had been well: the next pause is a short one again. */
const wellMs = 5_000;

/** Mended by asking again, elsewhere. Not DEADLINE_EXCEEDED of a unary call, whose time is over. */
const passing: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED]);

/** A client of one service at however many instances there are. Connects when first used. */
export function createBalancedGrpcClient(options: BalancedGrpcClientOptions): BalancedGrpcClient {
  const { instances, ejectMs = 1_000, ...of } = options;
  const { serviceName, deadlineMs, retries = 2, onRetry } = of;
  const known = new Map<string, Instance>();
  let turn = 0;

  /** Closes what is gone and idle; an instance that comes back is the same one. */
  function refresh(): readonly string[] {
    const present = instances.now();
    const wanted = new Set(present);
    for (const [address, instance] of known) {
      instance.gone = !wanted.has(address);
      if (instance.gone && instance.outstanding === 0) {
        known.delete(address);
        instance.client.close();
      }
    }
    for (const address of present) {
      if (known.has(address)) continue;
      const client = createGrpcClient({ ...of, address, retries: 0 });
      known.set(address, { client, outstanding: 0, ejectedUntilMs: 0, gone: false });
    }
    return present;
  }

  async function pick(method: string, tried: ReadonlySet<string>, attempt: number): Promise<[string, Instance]> {
    if (refresh().length === 0) await instances.first;
    const candidates = refresh().map((address) => {
      const { outstanding = 0, ejectedUntilMs = 0 } = known.get(address) ?? {};
      return { address, outstanding, ejectedUntilMs };
    });
    turn += 1;
    const address = pickInstance(candidates, { turn, nowMs: performance.now(), tried });
    const instance = address === undefined ? undefined : known.get(address);
    if (address !== undefined && instance !== undefined) return [address, instance];
    throw new GrpcCallError(
      { method: `${serviceName}.${method}`, address: 'no address', attempts: attempt },
      { code: status.UNAVAILABLE, details: 'no instance is known', metadata: new Metadata() },
    );
  }

  /** Counts a call to an instance; what is returned ends the count, and leaves the instance out where it was away. */
  function begin([address, instance]: [string, Instance], tried: Set<string>): (failure: unknown) => void {
    tried.add(address);
    instance.outstanding += 1;
    return (failure) => {
      if (isPassing(failure, [status.UNAVAILABLE])) instance.ejectedUntilMs = performance.now() + ejectMs;
      instance.outstanding -= 1;
      if (instance.gone) refresh();
    };
  }

  async function call<Response extends object>(method: string, request: object, more: GrpcCallOptions = {}) {
    const { signal, idempotent = false } = more;
    const untilMs = Date.now() + (more.deadlineMs ?? deadlineMs);
    const tried = new Set<string>();
    let delayMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        const left = () => ({ ...more, idempotent: false, deadlineMs: Math.max(1, untilMs - Date.now()) });
        const picked = await pick(method, tried, attempt);
        const end = begin(picked, tried);
        const answering = picked[1].client.call<Response>(method, request, left());
        answering.then(() => end(undefined), end);
        return await answering;
      } catch (error) {
        delayMs = nextBackoffMs(delayMs, backoff);
        const again = idempotent && attempt <= retries && Date.now() + delayMs < untilMs;
        if (!again || !isPassing(error, [status.UNAVAILABLE])) throw error;
        onRetry?.(method, attempt);
        await pause(delayMs, signal);
      }
    }
  }

  async function* follow<Response extends object>(method: string, request: object, more: FollowOptions = {}) {
    const { signal, onReopen } = more;
    let tried = new Set<string>();
    let delayMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      const beganMs = performance.now();
      let reason: GrpcCallError | 'ended' = 'ended';
      let end: ((failure: unknown) => void) | undefined;
      try {
        const picked = await pick(method, tried, attempt);
        end = begin(picked, tried);
        yield* picked[1].client.stream<Response>(method, request, more);
      } catch (error) {
        signal?.throwIfAborted();
        if (!isPassing(error, passing)) throw error;
        reason = error;
      } finally {
        end?.(reason);
      }
      if (performance.now() - beganMs > wellMs) delayMs = undefined;
      onReopen?.(reason);
      // Only the one that was left a moment ago is avoided.
      tried = new Set([...tried].slice(-1));
      delayMs = nextBackoffMs(delayMs, backoff);
      await pause(delayMs, signal);
    }
  }

  return {
    call,
    follow,
    outstanding: () => Object.fromEntries([...known].map(([address, { outstanding }]) => [address, outstanding])),
    close() {
      for (const { client } of known.values()) client.close();
      known.clear();
    },
  };
}

function isPassing(error: unknown, codes: Iterable<status>): error is GrpcCallError {
  return error instanceof GrpcCallError && [...codes].includes(error.code);
}
