import type { EventMessage } from '@strangler/platform/outbox/record.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { QueryTypes, type Sequelize } from 'sequelize';
import { type EventCheck, eventCheck } from './event-schemas.ts';

/** An event as it stands in the outbox. */
export type RecordedEvent = Omit<EventMessage, 'version' | 'at'> & {
  /** The routing key. */
  topic: string;
  traceparent: string | undefined;
  requestId: string | undefined;
};

/** The events that were recorded, in the order of their ids; those of one key, if it is given. */
export async function recordedEvents(
  sequelize: Sequelize,
  of?: { aggregate: string; key: number },
): Promise<RecordedEvent[]> {
  const rows = await sequelize.query<{ topic: string; payload: string; headers: string }>(
    `SELECT topic, payload, headers FROM ${outboxTable}
      WHERE kind = 'event' AND (:all OR (subject = :aggregate AND subject_key = :key)) ORDER BY id`,
    {
      type: QueryTypes.SELECT,
      replacements: { all: of === undefined, aggregate: of?.aggregate ?? '', key: String(of?.key ?? '') },
    },
  );
  return rows.map(({ topic, payload, headers }) => {
    const { traceparent, request_id: requestId } = JSON.parse(headers);
    return { ...JSON.parse(payload), topic, traceparent, requestId };
  });
}

/** Compiled once for all shops of a process. */
let check: EventCheck | undefined;

/** What the recorded events have in another way than their schemas describe. */
export async function eventFaults(sequelize: Sequelize): Promise<string[]> {
  check ??= eventCheck();
  const faultOf = check;
  return (await recordedEvents(sequelize)).flatMap((event) => {
    const fault = faultOf(event);
    return fault === undefined ? [] : [`${event.type} of ${event.aggregate} ${event.key}: ${fault}`];
  });
}
