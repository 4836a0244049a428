import type { Options } from 'amqplib';
import { messageIdOf, rowVersionHeader } from '../contracts/row-message.ts';
import { parseTraceparent } from '../http/request-context.ts';
import { partName } from './part.ts';

/** What the relay reads of an outbox row. */
export type OutboxRow = {
  /** Decimal text: may be beyond 2^53. */
  id: string;
  part: number;
  kind: 'row' | 'event';
  epoch: number;
  topic: string;
  subject: string;
  subjectKey: string;
  op: string;
  payload: string;
  headers: string;
  /** ISO 8601, UTC, with microseconds. */
  at: string;
};

export type OutgoingMessage = { routingKey: string; body: Buffer; properties: Options.Publish };

export const messageHeaders = {
  version: rowVersionHeader,
  /** `row` or `event`. */
  kind: 'x-strangler-kind',
  /** `p00` to `p15`. */
  part: 'x-strangler-part',
  /** Table or aggregate. */
  subject: 'x-strangler-subject',
  /** Messages of one subject and key keep their order. */
  key: 'x-strangler-key',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  requestId: 'x-request-id',
} as const;

/** The header that a writer's mark travels in. */
export const markHeader = (name: string): string => `x-strangler-mark-${name}`;

/**
 * The message that tells of an outbox row. The payload's text goes into the body as it is, neither parsed nor checked: a
 * payload that is not JSON must not stop the relay, and is refused by those who consume it.
 */
export function messageOf(row: OutboxRow, source: string): OutgoingMessage {
  const told = parseHeaders(row.headers);
  const version = `{"epoch":${row.epoch},"id":"${row.id}"}`;
  return {
    routingKey: row.topic,
    body: Buffer.from(row.kind === 'row' ? rowBody(row, told, version) : eventBody(row, version)),
    properties: {
      messageId: messageIdOf(source, row.id),
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      type: row.kind === 'row' ? row.op : row.topic.slice(row.topic.indexOf('.') + 1),
      timestamp: Math.floor(Date.parse(row.at) / 1000),
      persistent: true,
      mandatory: true,
      headers: {
        [messageHeaders.version]: `${row.epoch}/${row.id}`,
        [messageHeaders.kind]: row.kind,
        [messageHeaders.part]: partName(row.part),
        [messageHeaders.subject]: row.subject,
        [messageHeaders.key]: row.subjectKey,
        ...marksOf(told),
        ...traceOf(told),
      },
    },
  };
}

/** The bytes that a row takes while the relay holds it, roughly. */
export function weightOf(row: OutboxRow): number {
  return row.payload.length + row.headers.length + 512;
}

// The payload is `{"key":{…},"image":{…}}`; its members become members of the body.
function rowBody(row: OutboxRow, told: Record<string, unknown>, version: string): string {
  const writer: { user: unknown; request?: string } = { user: told.user ?? '' };
  if (typeof told.request === 'string') writer.request = told.request;
  return (
    `{"slice":${JSON.stringify(row.topic.slice(0, row.topic.indexOf('.')))},"table":${JSON.stringify(row.subject)}` +
    `,"op":${JSON.stringify(row.op)},"keyText":${JSON.stringify(row.subjectKey)},${members(row.payload)}` +
    `,"version":${version},"at":"${row.at}","writer":${JSON.stringify(writer)}}`
  );
}

function eventBody(row: OutboxRow, version: string): string {
  return `{${members(row.payload)},"version":${version},"at":"${row.at}"}`;
}

function members(object: string): string {
  const text = object.trim();
  return text.slice(1, -1);
}

function parseHeaders(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function marksOf({ marks }: Record<string, unknown>): Record<string, string> {
  if (typeof marks !== 'object' || marks === null) return {};
  return Object.fromEntries(
    Object.entries(marks).flatMap(([name, mark]) => (typeof mark === 'string' ? [[markHeader(name), mark]] : [])),
  );
}

function traceOf(told: Record<string, unknown>): Record<string, string> {
  const trace: Record<string, string> = {};
  const parsed = parseTraceparent(told.traceparent);
  if (parsed !== undefined) {
    trace[messageHeaders.traceparent] = parsed.traceparent;
    if (typeof told.tracestate === 'string') trace[messageHeaders.tracestate] = told.tracestate;
  }
  if (typeof told.request_id === 'string') trace[messageHeaders.requestId] = told.request_id;
  return trace;
}
