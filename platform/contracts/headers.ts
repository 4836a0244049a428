/** Every header whose name starts so is the proxy's own: a client's is removed before anything reads it. */
export const stranglerHeaderPrefix = 'x-strangler-';

/** Which side answered, `monolith` or `service`; on answers, for callers who may see decisions. */
export const sideHeader = 'x-strangler-side';
/** Why that side was chosen, a `DecisionReason`; on answers, for callers who may see decisions. */
export const reasonHeader = 'x-strangler-reason';
/** The instance that answered; on answers, for callers who may see decisions. */
export const instanceHeader = 'x-strangler-instance';
/** A trusted caller asks for one side: `monolith` or `service`. */
export const forceSideHeader = 'x-strangler-force-side';
/** Proves that the caller may force a side and see decisions. */
export const operatorTokenHeader = 'x-strangler-operator';
/** The epoch under which the proxy forwarded a write; a service refuses one that is stale. */
export const epochHeader = 'x-strangler-epoch';
/** On a copy of a request, with the value `1`: the proxy asks to compare the answer with another one, and no user sees it. */
export const shadowHeader = 'x-strangler-shadow';

/**
 * Which service calls, proven by a signature; beside `Authorization`, which says for which user. Only services set it: the proxy
 * drops a client's own.
 */
export const serviceTokenHeader = 'x-service-token';

export const requestIdHeader = 'x-request-id';
export const traceparentHeader = 'traceparent';
