/** Ids of the service's notifications begin here, above all of the shop's. */
export const firstServiceId = 1_000_000_000_000;

const position = /^\d{1,15}(,\d{1,15})?$/;

/** What a client says it has: the last id, or the last one of each side that it has listened to. */
export function readPosition(text: string): number[] | undefined {
  return position.test(text) ? text.split(',').map(Number) : undefined;
}

/** The last of the shop's own ids that the client has; undefined where it has none, but one of the service's. */
export function ownPosition(ids: readonly number[]): number | undefined {
  const own = ids.filter((id) => id < firstServiceId);
  return own.length === 0 ? undefined : Math.max(...own);
}
