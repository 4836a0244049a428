import { firstNotificationId } from '../migrations/0001-notifications.ts';

const position = /^\d{1,15}(,\d{1,15})?$/;

/** What a client says it has: the last id, or the last one of each side that it has listened to. */
export function readPosition(text: string): number[] | undefined {
  return position.test(text) ? text.split(',').map(Number) : undefined;
}

/** The last of the own ids that the client has; 0 where it has none: it is given all that was delivered here. */
export function ownPosition(ids: readonly number[]): number {
  return Math.max(0, ...ids.filter((id) => id >= firstNotificationId));
}
