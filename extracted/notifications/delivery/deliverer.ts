/** Who tells the customer of an event: the shop's own module, or this service. */
export const sides = ['monolith', 'service'] as const;
export type Side = (typeof sides)[number];

/** Where an event stands in what the shop tells: its version. The epoch goes before the id. */
export type Position = { epoch: number; id: bigint };

/** What the writer of an event says of itself: which side it left the telling to, and under which epoch of its flags. */
export type Mark = { side: Side; epoch: number };

/** From a position on, unmarked events are told by this side. Handovers are numbered without gaps and never taken back. */
export type Handover = { seq: number; side: Side; from: Position };

export type Told = { position: Position; mark: Mark | undefined };

/** Before any handover everything is the shop's. */
export const beginning: Handover = { seq: 0, side: 'monolith', from: { epoch: 0, id: 0n } };

export function comparePositions(a: Position, b: Position): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
}

/**
 * The side that delivers an event. A mark decides: it was written in the transaction of its cause by the only one who knows what
 * that process did. Without a mark the last handover at or before the event's position does. `handovers` are in order of `seq`.
 */
export function delivererOf({ position, mark }: Told, handovers: readonly Handover[]): Side {
  if (mark !== undefined) return mark.side;
  return handovers.findLast(({ from }) => comparePositions(from, position) <= 0)?.side ?? beginning.side;
}

/** How a mark is written into an event: `service/3`. */
export function formatMark({ side, epoch }: Mark): string {
  return `${side}/${epoch}`;
}

/** Reads a mark. Undefined where there is none. @throws MarkError where it is not one. */
export function parseMark(text: unknown): Mark | undefined {
  if (text === undefined) return undefined;
  const [, side, epoch] = (typeof text === 'string' && /^(monolith|service)\/([1-9]\d{0,14})$/.exec(text)) || [];
  if (side === undefined) throw new MarkError(`expected a mark such as "service/3", found ${JSON.stringify(text)}`);
  return { side: side as Side, epoch: Number(epoch) };
}

export class MarkError extends Error {
  override name = 'MarkError';
}

/** What is asked for: that `side` tells unmarked events from `from` on, if handover `expectedSeq` is still the last. */
export type HandoverRequest = { expectedSeq: number; side: Side; from: Position };

/** What the service has done so far with unmarked events. */
export type Handled = {
  /** The highest position of one that it delivered itself; undefined: of none. */
  highestDelivered: Position | undefined;
};

export type HandoverDecision =
  | { outcome: 'taken'; handover: Handover }
  | { outcome: 'conflict'; lastSeq: number }
  | { outcome: 'refused'; reason: string };

/** Whether a handover may follow those there are. Nothing that has been delivered may become the other side's. */
export function decideHandover(
  { expectedSeq, side, from }: HandoverRequest,
  handovers: readonly Handover[],
  { highestDelivered }: Handled,
): HandoverDecision {
  const last = handovers.at(-1) ?? beginning;
  if (last.seq !== expectedSeq) return { outcome: 'conflict', lastSeq: last.seq };
  if (last.side === side)
    return { outcome: 'refused', reason: `the ${side} delivers already, since ${text(last.from)}` };
  if (comparePositions(from, last.from) < 0) {
    return { outcome: 'refused', reason: `expected a position from ${text(last.from)} on, found ${text(from)}` };
  }
  if (side === 'monolith' && highestDelivered !== undefined && comparePositions(from, highestDelivered) <= 0) {
    const reason = `the service has delivered up to ${text(highestDelivered)}; expected a position behind that, found ${text(from)}`;
    return { outcome: 'refused', reason };
  }
  return { outcome: 'taken', handover: { seq: last.seq + 1, side, from } };
}

function text({ epoch, id }: Position): string {
  return `${epoch}/${id}`;
}
