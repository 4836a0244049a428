import { type Backoff, nextBackoffMs, pause } from '../backoff.ts';
import { type FenceOwner, type FenceRefusal, readFenceRefusal } from '../contracts/fence-refusal.ts';
import { Problem } from '../http/problem.ts';
import { disbelieved, type OwnFence } from './own-fence.ts';
import type { OwnerFollower, Ownership } from './owner-follower.ts';

/** How long a write that met a closed fence waits to be let through. */
export const fenceWaitMs = 5_000;

const retryAfterSeconds = 1;

const backoff: Backoff = { baseMs: 10, capMs: 100 };

/** A write was refused by the fence for as long as it could wait, and nothing of it was done: 503 with Retry-After. */
export class FencedWrite extends Problem {
  /** The epoch that is known to be in force. */
  readonly knownEpoch: number;

  constructor(refusal: Pick<FenceRefusal, 'slice' | 'epoch' | 'owner'>, known: Ownership | undefined, cause: unknown) {
    const owner = known?.owner ?? refusal.owner;
    super({
      status: 503,
      title: 'Write not taken here',
      detail: `The writes of ${refusal.slice} ${owner === 'held' ? 'are being moved' : `are the ${owner}’s`}; nothing was done. Send it again.`,
      headers: { 'retry-after': `${retryAfterSeconds}` },
      cause,
    });
    this.name = 'FencedWrite';
    this.knownEpoch = Math.max(refusal.epoch, known?.epoch ?? 0);
  }
}

export type WithinFenceOptions = {
  /** Undefined: nobody tells who owns, and the fence is tried again until the time is over. */
  owner: OwnerFollower | undefined;
  /** Who this process is. */
  self: FenceOwner;
  /**
   * Given: a refusal (a Problem below 500) is given only where the fence is open; and while the tables are another's, nothing is
   * written without an open one. A slice that has gone all the way back has no fence any more, and what is written then is lost.
   */
  fence?: OwnFence | undefined;
  /** 5000 ms unless told. */
  waitMs?: number;
};

/**
 * Runs a write. One that a closed fence refuses, rolled back by then, is run again until the fence is open: after short
 * jittered pauses, and at once when the flags change. `run` must have no effect outside of its transaction.
 * @throws FencedWrite at the bound, or as soon as the ownership has moved to another while it waited; else what `run` throws.
 */
export async function withinFence<T>(
  run: () => Promise<T>,
  { owner, self, fence, waitMs = fenceWaitMs }: WithinFenceOptions,
): Promise<T> {
  const began = owner?.now();
  const slice = owner?.slice ?? 'this slice';
  const untilMs = performance.now() + waitMs;
  let delayMs: number | undefined;
  for (;;) {
    const seen = owner?.now();
    if (movedAway(began, seen, self)) throw new FencedWrite({ slice, epoch: 0, owner: self }, seen, undefined);
    try {
      const notOwner = await refusedToOthers(seen, { self, fence }, slice);
      if (notOwner !== undefined) throw notOwner;
      return await run();
    } catch (error) {
      const refusal =
        error instanceof NotTheOwner ? error.refusal : (readFenceRefusal(error) ?? (await disbelieved(error, fence)));
      if (refusal === undefined) throw error;
      const leftMs = untilMs - performance.now();
      const said = owner?.now();
      if (leftMs <= 0 || movedAway(began, said, self)) throw new FencedWrite(refusal, said, error);
      delayMs = nextBackoffMs(delayMs, backoff);
      await changeOr(owner, seen, Math.min(delayMs, leftMs));
    }
  }
}

/** The flags say that the tables are another's, and no open fence says that they are not any more. */
class NotTheOwner extends Error {
  readonly refusal: FenceRefusal;

  constructor(refusal: FenceRefusal) {
    super(`${refusal.slice}: its tables are the ${refusal.owner}’s under epoch ${refusal.epoch}`);
    this.name = 'NotTheOwner';
    this.refusal = refusal;
  }
}

/**
 * Whether the ownership has gone to another since, or has been away and come back: what was asked of the owner of then may have been
 * done elsewhere meanwhile, and is to be asked anew.
 */
function movedAway(began: Ownership | undefined, said: Ownership | undefined, self: FenceOwner): boolean {
  if (began === undefined || said === undefined || said.epoch <= began.epoch || said.owner === 'held') return false;
  return said.owner !== self || began.owner === self;
}

/** An open fence is believed rather than the flags: a process that is cut off from them goes on with what it owns. */
async function refusedToOthers(
  said: Ownership | undefined,
  { self, fence }: Pick<WithinFenceOptions, 'self' | 'fence'>,
  slice: string,
): Promise<NotTheOwner | undefined> {
  if (said === undefined || said.holder === self || fence === undefined || (await fence()) === 'open') return undefined;
  return new NotTheOwner({ slice, epoch: said.epoch, owner: said.holder, because: 'closed' });
}

/** Waits until the flags say something else than `seen`, or the time is over. */
export async function changeOr(
  owner: OwnerFollower | undefined,
  seen: Ownership | undefined,
  ms: number,
): Promise<void> {
  if (owner === undefined) await pause(ms);
  else await owner.until((said) => said?.epoch !== seen?.epoch || said?.owner !== seen?.owner, ms);
}
