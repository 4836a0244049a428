import { serviceTokenHeader } from '@strangler/platform/contracts/headers.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Instance } from '../upstream/upstream.ts';
import type { Forward } from './forwarder.ts';

/** Puts the proxy's own token for the instance's service on a request, in place of one for an instance that was tried before. */
export type Sign = (outgoing: OutgoingRequest, instance: Instance) => void;

/**
 * By this token a service knows that a request came through the proxy, and so that the client's address and the other
 * identity headers on it are the proxy's word. It is for one service: the monolith is another's server, and gets none.
 */
export const createSign =
  (headersFor: (service: string) => Readonly<Record<string, string>>): Sign =>
  ({ headers }, { side, service }) => {
    delete headers[serviceTokenHeader];
    if (side === 'service') Object.assign(headers, headersFor(service));
  };

export const signRequests =
  (forward: Forward, sign: Sign): Forward =>
  (req, res, outgoing, instance, addToAnswer, patience) => {
    sign(outgoing, instance);
    return forward(req, res, outgoing, instance, addToAnswer, patience);
  };
