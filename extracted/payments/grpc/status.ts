import { Metadata } from '@grpc/grpc-js';
import { GrpcError, type GrpcStatusName } from '@strangler/platform/grpc/errors.ts';
import { isDatabaseAway } from '@strangler/platform/http/database-away.ts';
import { Problem } from '@strangler/platform/http/problem.ts';
import { FencedWrite } from '@strangler/platform/ownership/within-fence.ts';

/** What a problem is of, kept or thrown. */
type ProblemLike = {
  status: number;
  title: string;
  detail?: string | undefined;
  errors?: readonly { path: string; message: string }[] | undefined;
};

const statusNames: Record<number, GrpcStatusName> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'FAILED_PRECONDITION',
  422: 'INVALID_ARGUMENT',
  503: 'UNAVAILABLE',
};

/**
 * A problem of the REST API as a status; anything else as it is. A write whose owner changed while it waited before the fence is
 * answered as one under a stale epoch, where it named one in `sentEpoch`.
 */
export function asGrpcError(error: unknown, sentEpoch: number | undefined): unknown {
  if (isDatabaseAway(error)) return new GrpcError('UNAVAILABLE', 'the database cannot answer just now; try again');
  if (error instanceof FencedWrite && sentEpoch !== undefined && error.knownEpoch > sentEpoch) {
    return staleEpoch(sentEpoch, error.knownEpoch);
  }
  return error instanceof Problem ? statusOf(error) : error;
}

export function statusOf(problem: ProblemLike): GrpcError {
  const faults = problem.errors?.map(({ path, message }) => `${path}: ${message}`).join('; ');
  const message = faults ?? problem.detail ?? problem.title;
  const running = problem.status === 409 && problem.title === 'Request still running';
  return new GrpcError(running ? 'ABORTED' : (statusNames[problem.status] ?? 'INTERNAL'), message);
}

export function staleEpoch(sent: number, known: number): GrpcError {
  const metadata = new Metadata();
  metadata.set('x-strangler-stale-epoch', `${known}`);
  return new GrpcError(
    'FAILED_PRECONDITION',
    `epoch ${sent} is over, ${known} is in force; nothing was done`,
    metadata,
  );
}
