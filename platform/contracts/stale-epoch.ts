import { Problem } from '../http/problem.ts';

/**
 * On an answer: the write was sent under an epoch that is over, and nothing of it was done. The value is the epoch that
 * the service knows. Only with status 409. The proxy decides anew, once; a client never sees this header.
 */
export const staleEpochHeader = 'x-strangler-stale-epoch';

/** The problem type of that answer, for callers that are not proxies. */
export const staleEpochProblemType = 'urn:strangler:problem:stale-epoch';

/** A service's answer to a write whose epoch is older than the one it knows. Only to be given where nothing was done. */
export const staleEpochProblem = (sent: number, known: number): Problem =>
  new Problem({
    status: 409,
    type: staleEpochProblemType,
    title: 'Stale epoch',
    detail: `This write was sent under epoch ${sent}; epoch ${known} is in force. Nothing was done.`,
    headers: { [staleEpochHeader]: `${known}` },
    extensions: { sent_epoch: sent, known_epoch: known },
  });

/** The epoch that the service knows, where its answer says that it refused a stale one; else null. */
export const staleEpochOf = (status: number | undefined, header: string | string[] | undefined): number | null =>
  status === 409 && typeof header === 'string' && /^[1-9]\d{0,14}$/.test(header) ? Number(header) : null;
