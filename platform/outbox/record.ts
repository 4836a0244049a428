import { randomUUID } from 'node:crypto';
import type { RowVersion } from '../contracts/row-message.ts';
import { currentRequest } from '../http/request-context.ts';
import { withSpan } from '../tracing/span.ts';
import type { Execute } from './execute.ts';
import { outboxInsertSql } from './schema.ts';
import { tellListener } from './told-events.ts';

/** Something that has happened, told by application code in the transaction in which it happened. */
export type DomainEvent = {
  /** The first word of the routing key: the slice or program that tells. */
  slice: string;
  /** `<what>.<happened>`, such as `order.placed`: the rest of the routing key. */
  type: string;
  /** Of the schema of `data`; from 1. */
  schemaVersion: number;
  /** What the event is about, such as `order`: events of one aggregate and key leave in order. */
  aggregate: string;
  key: string;
  data: Readonly<Record<string, unknown>>;
  /** A UUID; drawn when it is not given. */
  id?: string;
  /** Of the owner of the slice's writes; 1 unless told. */
  epoch?: number;
  /** How the writer acted itself, said to consumers beside the data: each is the header `x-strangler-mark-<name>`. */
  marks?: Readonly<Record<string, string>>;
};

/** A domain event as it stands in the body of a message. */
export type EventMessage = {
  id: string;
  type: string;
  schema_version: number;
  aggregate: string;
  key: string;
  data: Record<string, unknown>;
  version: RowVersion;
  /** When it was recorded, UTC: ISO 8601 with microseconds. */
  at: string;
};

/** What the outbox keeps beside the payload. */
export type OutboxHeaders = {
  traceparent?: string;
  tracestate?: string;
  request_id?: string;
  marks?: Readonly<Record<string, string>>;
};

/** An event that cannot be recorded; the message names every fault. Nothing was written. */
export class EventError extends Error {
  override name = 'EventError';
}

/** A larger one belongs into a store of its own, with its address in the event. */
export const largestEventBytes = 1024 * 1024;

const insertSql = outboxInsertSql({
  kind: "'event'",
  epoch: '?',
  topic: '?',
  subject: '?',
  subjectKey: '?',
  op: '?',
  payload: '?',
  headers: '?',
});

/**
 * Writes an event to the outbox, in the transaction that `execute` runs in, with the trace of the request that the
 * caller works for. Events of one key are published in the order of their ids, which is the order of their commits only
 * if the transaction holds a lock on what the key names (it has changed that row, say) when it records.
 * @returns the event's id. @throws EventError when the event is malformed.
 */
export async function record(event: DomainEvent, execute: Execute): Promise<string> {
  const { slice, type, schemaVersion, aggregate, key, data, id = randomUUID(), epoch = 1 } = event;
  const payload = JSON.stringify({ id, type, schema_version: schemaVersion, aggregate, key, data });
  const faults = faultsOf({ ...event, id, epoch }, payload);
  if (faults.length > 0) throw new EventError(`event ${JSON.stringify(type)}: ${faults.join('; ')}`);
  const op = type.slice(type.indexOf('.') + 1);
  const { marks } = event;
  const topic = `${slice}.${type}`;
  const attributes = { 'messaging.operation.type': 'create', 'messaging.rabbitmq.destination.routing_key': topic };
  await withSpan({ name: `record ${topic}`, kind: 'producer', attributes }, async () => {
    const headers = JSON.stringify({ ...headersOfRequest(), ...(marks === undefined ? {} : { marks }) });
    await execute(insertSql, [aggregate, key, epoch, topic, aggregate, key, op, payload, headers]);
  });
  tellListener({ type, key, payload: data });
  return id;
}

function headersOfRequest(): OutboxHeaders {
  const request = currentRequest();
  if (request === undefined) return {};
  const { traceparent, tracestate, requestId } = request;
  return { traceparent, ...(tracestate === undefined ? {} : { tracestate }), request_id: requestId };
}

const word = /^[a-z][a-z0-9_-]*$/i;

function faultsOf(event: DomainEvent & { id: string; epoch: number }, payload: string): string[] {
  const faults: string[] = [];
  const expect = (ok: boolean, what: string, expected: string, found: unknown) => {
    if (!ok) faults.push(`${what}: expected ${expected}, found ${JSON.stringify(found)}`);
  };
  const { slice, type, schemaVersion, aggregate, key, id, epoch } = event;
  const words = type.split('.');
  expect(word.test(slice) && slice.length <= 64, 'slice', 'a word of at most 64 characters', slice);
  expect(words.length === 2 && words.every((each) => word.test(each)), 'type', 'two words, such as order.placed', type);
  expect((words[1] ?? '').length <= 32, 'type', 'a second word of at most 32 characters', type);
  expect(`${slice}.${type}`.length <= 255, 'slice and type', 'at most 255 characters together', `${slice}.${type}`);
  expect(Number.isInteger(schemaVersion) && schemaVersion >= 1, 'schemaVersion', 'a positive integer', schemaVersion);
  expect(word.test(aggregate) && aggregate.length <= 64, 'aggregate', 'a word of at most 64 characters', aggregate);
  const keyBytes = Buffer.byteLength(key);
  expect(keyBytes >= 1 && keyBytes <= 255 && !key.includes('\0'), 'key', 'text of 1 to 255 bytes', key);
  expect(id.length >= 1 && id.length <= 64, 'id', 'text of 1 to 64 characters', id);
  expect(Number.isInteger(epoch) && epoch >= 0 && epoch < 2 ** 32, 'epoch', 'an integer from 0 to 2^32-1', epoch);
  for (const [name, mark] of Object.entries(event.marks ?? {})) {
    expect(word.test(name) && name.length <= 64, 'marks', 'names that are words of at most 64 characters', name);
    expect(/^[\x21-\x7e]{1,100}$/.test(mark), `marks.${name}`, '1 to 100 printable characters without spaces', mark);
  }
  const bytes = Buffer.byteLength(payload);
  expect(bytes <= largestEventBytes, 'data', `at most ${largestEventBytes} bytes of JSON`, `${bytes} bytes`);
  return faults;
}
