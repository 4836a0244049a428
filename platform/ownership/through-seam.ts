import { type Backoff, nextBackoffMs } from '../backoff.ts';
import { type FenceRefusal, readFenceRefusal } from '../contracts/fence-refusal.ts';
import { staleEpochHeader, staleEpochOf } from '../contracts/stale-epoch.ts';
import { disbelieved, type OwnFence } from './own-fence.ts';
import type { OwnerFollower } from './owner-follower.ts';
import { changeOr, FencedWrite, fenceWaitMs } from './within-fence.ts';

/** The service refused a write because it was sent under an epoch that is over; nothing was done. */
export class StaleEpochAnswer extends Error {
  override name = 'StaleEpochAnswer';
  readonly sent: number;
  readonly known: number;

  constructor(sent: number, known: number) {
    super(`a write was sent under epoch ${sent}; the service knows epoch ${known}`);
    this.sent = sent;
    this.known = known;
  }
}

/** Throws StaleEpochAnswer where an answer says so. */
export function throwIfStale(
  sent: number,
  status: number,
  headers: Record<string, string | string[] | undefined>,
): void {
  const known = staleEpochOf(status, headers[staleEpochHeader]);
  if (known !== null) throw new StaleEpochAnswer(sent, known);
}

export type Seam<T> = {
  /** Undefined: there are no flags, and writes are local. */
  owner: OwnerFollower | undefined;
  /** Given: a refusal (a Problem below 500) of a local write is believed only where the own fence is open. */
  fence?: OwnFence | undefined;
  /** Writes into the own database; must have no effect where the fence refuses it. */
  local(): Promise<T>;
  /** Sends the write to the service under this epoch. */
  remote(epoch: number): Promise<T>;
  /** How long a write may wait for the ownership to be moved, 5000 ms unless told. */
  waitMs?: number;
};

const backoff: Backoff = { baseMs: 10, capMs: 100 };

/**
 * Branch by abstraction: does a write where its owner is, which the flags tell. A local write that meets the fence, and a
 * remote one that comes under an epoch which is over, have done nothing: they wait until the flags say something new, and
 * are done there. While the writes are held they are tried where they were last: an open fence says whose the tables are.
 * @throws FencedWrite (503 with Retry-After) at the bound, unless the flags have just said something new; else what `local` or `remote` throws.
 */
export async function throughSeam<T>({ owner, fence, local, remote, waitMs = fenceWaitMs }: Seam<T>): Promise<T> {
  const untilMs = performance.now() + waitMs;
  let delayMs: number | undefined;
  for (;;) {
    const seen = owner?.now();
    const isRemote = seen?.holder === 'service';
    try {
      return isRemote ? await remote(seen.epoch) : await local();
    } catch (error) {
      const refusal = isRemote ? stale(error, owner) : (readFenceRefusal(error) ?? (await disbelieved(error, fence)));
      if (refusal === undefined) throw error;
      const said = owner?.now();
      // Whatever time the try has taken: where it can be done elsewhere by now, it is.
      const moved = said?.epoch !== seen?.epoch || said?.owner !== seen?.owner;
      const leftMs = moved ? Math.max(1, untilMs - performance.now()) : untilMs - performance.now();
      if (leftMs <= 0) throw new FencedWrite(refusal, said, error);
      delayMs = nextBackoffMs(delayMs, backoff);
      // The service has told of an epoch: until that is known here too, every try would be refused alike.
      if (isRemote) await owner?.until((said) => said !== undefined && said.epoch >= refusal.epoch, leftMs);
      else await changeOr(owner, seen, Math.min(delayMs, leftMs));
    }
  }
}

function stale(
  error: unknown,
  owner: OwnerFollower | undefined,
): Pick<FenceRefusal, 'slice' | 'epoch' | 'owner'> | undefined {
  if (!(error instanceof StaleEpochAnswer)) return undefined;
  return { slice: owner?.slice ?? 'this slice', epoch: error.known, owner: 'monolith' };
}
