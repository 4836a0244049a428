import { Metadata } from '@grpc/grpc-js';
import { epochHeader } from '../contracts/headers.ts';
import { staleEpochHeader, staleEpochProblemType } from '../contracts/stale-epoch.ts';
import { type GrpcCallError, GrpcError } from '../grpc/errors.ts';
import { Problem } from '../http/problem.ts';
import { epochOf, refuseStaleEpoch } from './epoch-guard.ts';
import type { OwnerFollower } from './owner-follower.ts';
import { StaleEpochAnswer } from './through-seam.ts';
import { FencedWrite } from './within-fence.ts';

const reasonKey = 'x-reason';

/**
 * Runs a write that came by gRPC, with what `epochGuard` and `fencedWriteResponder` are to HTTP: the epoch that it was sent
 * under is in the metadata. A stale one is ABORTED, with the epoch that is known in the metadata and nothing done; a write that
 * the fence held up for too long is UNAVAILABLE with `x-reason: fenced`, and nothing done either.
 */
export async function writeUnderEpoch<T>(
  write: () => Promise<T>,
  { metadata, owner, waitMs }: { metadata: Metadata; owner: OwnerFollower | undefined; waitMs?: number },
): Promise<T> {
  let sent: number | undefined;
  try {
    sent = epochOf(metadata.get(epochHeader)[0]);
    if (sent !== undefined) await refuseStaleEpoch(sent, { owner, ...(waitMs === undefined ? {} : { waitMs }) });
    return await write();
  } catch (error) {
    if (error instanceof FencedWrite) {
      if (sent !== undefined && sent < error.knownEpoch) throw stale(sent, error.knownEpoch);
      throw fenced(error);
    }
    if (!(error instanceof Problem)) throw error;
    if (error.type === staleEpochProblemType && sent !== undefined) {
      throw stale(sent, Number(error.headers[staleEpochHeader]));
    }
    if (sent === undefined && error.status === 400)
      throw new GrpcError('INVALID_ARGUMENT', error.detail ?? error.title);
    throw error;
  }
}

/** For the caller, before `throughSeam`: a call that was refused as stale, as the seam knows it; else the error itself. */
export function asStaleEpochAnswer(sent: number, error: GrpcCallError): StaleEpochAnswer | GrpcCallError {
  const known = String(error.metadata.get(staleEpochHeader)[0] ?? '');
  const isStale = error.statusName === 'ABORTED' && /^[1-9]\d{0,14}$/.test(known);
  return isStale ? new StaleEpochAnswer(sent, Number(known)) : error;
}

function fenced(error: FencedWrite): GrpcError {
  const metadata = new Metadata();
  metadata.set(reasonKey, 'fenced');
  return new GrpcError('UNAVAILABLE', error.detail ?? error.title, metadata);
}

function stale(sent: number, known: number): GrpcError {
  const metadata = new Metadata();
  metadata.set(staleEpochHeader, `${known}`);
  const details = `this write was sent under epoch ${sent}; epoch ${known} is in force, and nothing was done`;
  return new GrpcError('ABORTED', details, metadata);
}
