import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import { epochHeader } from '../contracts/headers.ts';
import { staleEpochProblem } from '../contracts/stale-epoch.ts';
import { problems } from '../http/problem.ts';
import type { OwnerFollower } from './owner-follower.ts';
import { FencedWrite } from './within-fence.ts';

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** How long a write waits until its epoch, which is newer than the one known here, is known. */
export const epochWaitMs = 1_000;

/**
 * Express middleware before a service's write routes. A write that was sent under an epoch which is over is refused,
 * with nothing done; one under an epoch that is not known here yet waits until it is, 1 s unless told, and then the
 * fence decides; one that names no epoch goes through. Reads are let through.
 */
export function epochGuard({
  owner,
  waitMs = epochWaitMs,
}: {
  owner: OwnerFollower | undefined;
  waitMs?: number;
}): RequestHandler {
  return async (request, _response, next) => {
    const sent = safeMethods.has(request.method) ? undefined : sentEpoch(request);
    if (sent !== undefined) await refuseStaleEpoch(sent, { owner, waitMs });
    next();
  };
}

/**
 * Express error handler: a write whose owner changed while it waited before the fence is answered as one that was sent
 * under a stale epoch, where it named one; so who sent it can send it to the owner.
 */
export function fencedWriteResponder(): ErrorRequestHandler {
  return (error: unknown, request, _response, next) => {
    const sent = error instanceof FencedWrite ? sentEpoch(request) : undefined;
    if (sent === undefined || (error as FencedWrite).knownEpoch <= sent) next(error);
    else next(staleEpochProblem(sent, (error as FencedWrite).knownEpoch));
  };
}

/**
 * Throws the problem of a stale epoch where a write was sent under an epoch that is over; waits for one that is not known here
 * yet, 1 s unless told. Returns where the write may be tried.
 */
export async function refuseStaleEpoch(
  sent: number,
  { owner, waitMs = epochWaitMs }: { owner: OwnerFollower | undefined; waitMs?: number },
): Promise<void> {
  if (owner === undefined) return;
  const known = owner.now()?.epoch;
  if (known === undefined || known < sent) await owner.until((said) => (said?.epoch ?? 0) >= sent, waitMs);
  const now = owner.now()?.epoch;
  if (now !== undefined && sent < now) throw staleEpochProblem(sent, now);
}

function sentEpoch(request: Request): number | undefined {
  return epochOf(request.headers[epochHeader]);
}

/** The epoch that the header, or the metadata of its name, says; undefined where there is none. Throws a 400 problem for another text. */
export function epochOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && /^[1-9]\d{0,14}$/.test(value)) return Number(value);
  throw problems.badRequest(`${epochHeader}: expected one whole number from 1 on`);
}
