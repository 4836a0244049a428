import type { Pool, RowDataPacket } from 'mysql2/promise';

/** An event as it stands in the outbox. */
// biome-ignore lint/suspicious/noExplicitAny: what is told depends on the type
export type RecordedEvent = { topic: string; key: string; type: string; schema_version: number; data: any };

/** Every event of the outbox in the order of its recording. */
export async function recordedEvents(db: Pool): Promise<RecordedEvent[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    "SELECT topic, payload FROM strangler_outbox WHERE kind = 'event' ORDER BY id",
  );
  return rows.map(({ topic, payload }) => {
    const { type, schema_version, key, data } = JSON.parse(String(payload));
    return { topic, key, type, schema_version, data };
  });
}
