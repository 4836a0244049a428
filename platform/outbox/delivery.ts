import type { ConsumeMessage, MessageProperties } from 'amqplib';
import { messageHeaders } from './message.ts';

/**
 * What a handler says of a message: it took effect; try again later; it can never take effect; its time has not come, and it is
 * wanted again in about `afterMs`, which is no failed try.
 */
export type Outcome =
  | 'done'
  | 'retry'
  | 'poison'
  | { outcome: 'retry' | 'poison'; reason: string }
  | { outcome: 'later'; afterMs: number };

/** One failed try. */
export type Try = { at: string; attempt: number; outcome: 'retry' | 'poison'; reason: string };

/** A message as a handler gets it. */
export type Delivery = {
  messageId: string;
  /** As the relay published it, whatever way the message took since. */
  routingKey: string;
  queue: string;
  headers: Readonly<Record<string, unknown>>;
  body: Buffer;
  /** Table or aggregate. */
  subject: string;
  key: string;
  /** 1 for the first; tries that ended with the death of the process count. */
  attempt: number;
  history: readonly Try[];
};

/** Headers by which consumers tell of what became of a message. */
export const consumerHeaders = {
  attempt: 'x-strangler-attempt',
  history: 'x-strangler-history',
  routingKey: 'x-strangler-routing-key',
  queue: 'x-strangler-queue',
  reason: 'x-strangler-reason',
  deadAt: 'x-strangler-dead-at',
} as const;

const mostTries = 8;
const longestReason = 500;

/** A message's body as JSON; undefined where it is none, which no schema takes for a message. */
export function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

export function deliveryOf(message: ConsumeMessage, queue: string): Delivery {
  const headers: Record<string, unknown> = message.properties.headers ?? {};
  return {
    messageId: String(message.properties.messageId ?? ''),
    routingKey: text(headers[consumerHeaders.routingKey]) ?? message.fields.routingKey,
    queue,
    headers,
    body: message.content,
    subject: text(headers[messageHeaders.subject]) ?? '',
    key: text(headers[messageHeaders.key]) ?? '',
    attempt: count(headers[consumerHeaders.attempt], 1) + count(headers['x-delivery-count'], 0),
    history: historyOf(headers),
  };
}

export function historyOf(headers: Readonly<Record<string, unknown>>): Try[] {
  try {
    const value: unknown = JSON.parse(text(headers[consumerHeaders.history]) ?? '[]');
    return Array.isArray(value) ? (value as Try[]) : [];
  } catch {
    return [];
  }
}

/** With one more failed try, the oldest forgotten when there are too many. */
export function withTry(delivery: Delivery, outcome: Try['outcome'], reason: string, now: Date): Delivery {
  const tried = { at: now.toISOString(), attempt: delivery.attempt, outcome, reason: reason.slice(0, longestReason) };
  return { ...delivery, history: [...delivery.history, tried].slice(-mostTries) };
}

/** The headers of a message that is to come back as the next attempt. */
export function retryHeaders(delivery: Delivery): Record<string, unknown> {
  return {
    ...withoutDeaths(delivery.headers),
    [consumerHeaders.attempt]: delivery.attempt + 1,
    [consumerHeaders.history]: JSON.stringify(delivery.history),
    [consumerHeaders.routingKey]: delivery.routingKey,
  };
}

/** The headers of a message that is to come back as the attempt that it is. */
export function laterHeaders(delivery: Delivery): Record<string, unknown> {
  return {
    ...withoutDeaths(delivery.headers),
    [consumerHeaders.attempt]: delivery.attempt,
    [consumerHeaders.history]: JSON.stringify(delivery.history),
    [consumerHeaders.routingKey]: delivery.routingKey,
  };
}

/** The headers of a message that is given up. */
export function deadHeaders(delivery: Delivery, reason: string, now: Date): Record<string, unknown> {
  return {
    ...withoutDeaths(delivery.headers),
    [consumerHeaders.history]: JSON.stringify(delivery.history),
    [consumerHeaders.routingKey]: delivery.routingKey,
    [consumerHeaders.queue]: delivery.queue,
    [consumerHeaders.reason]: reason.slice(0, longestReason),
    [consumerHeaders.deadAt]: now.toISOString(),
  };
}

/** The headers of a dead letter that starts anew: of its past, only the routing key it was published with. */
export function replayHeaders(headers: Readonly<Record<string, unknown>>, routingKey: string): Record<string, unknown> {
  const {
    [consumerHeaders.attempt]: _attempt,
    [consumerHeaders.history]: _history,
    [consumerHeaders.queue]: _queue,
    [consumerHeaders.reason]: _reason,
    [consumerHeaders.deadAt]: _deadAt,
    ...rest
  } = withoutDeaths(headers);
  return { ...rest, [consumerHeaders.routingKey]: routingKey };
}

/** What else a copy of a message keeps. */
export function keptProperties({ messageId, contentType, contentEncoding, type, timestamp }: MessageProperties) {
  return { messageId, contentType, contentEncoding, type, timestamp };
}

/** What the broker added on the way; its counts are of another life of the message. */
function withoutDeaths(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/^x-(death|first-death-.*|last-death-.*|delivery-count)$/.test(name)),
  );
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function count(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}
