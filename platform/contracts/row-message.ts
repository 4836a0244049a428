import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { z } from 'zod';

/**
 * Orders the images of one row: by epoch, then by outbox id; the higher one wins everywhere. Both grow only, and the
 * outbox id of a row follows the order in which its changes were committed. A copied row that no change has been
 * captured of stands at `initialVersion`.
 */
export type RowVersion = {
  epoch: number;
  /** Decimal text: an outbox id may be beyond 2^53. */
  id: string;
};

/** Source column → value as the codec encodes it; null is SQL's NULL. Every value is text. */
export type RowImage = Record<string, string | null>;

/** One change of one row, as it stands in the body of a message. */
export type RowMessage = {
  slice: string;
  /** The source table. */
  table: string;
  /** An update of the primary key comes as a delete of the old key and an upsert of the new one. */
  op: RowOp;
  /** Primary key column → encoded value, in the order of the key. */
  key: Record<string, string>;
  /**
   * Names the row whatever spelling of its key was written (see `joinKeyText`): two changes are of one row if and only
   * if this is equal. Messages of one key text share a part and keep their order.
   */
  keyText: string;
  /** The whole captured row after the change; null for a delete. */
  image: RowImage | null;
  version: RowVersion;
  /** When the writer's statement began, UTC: ISO 8601 with microseconds. */
  at: string;
  writer: RowWriter;
};

export const rowOps = ['upsert', 'delete'] as const;
export type RowOp = (typeof rowOps)[number];

/** Who made a change. */
export type RowWriter = {
  /** As the database knows the session: `user@host`. */
  user: string;
  /** What the session had set as `@strangler_request`, such as `POST /api/products` or the name of a job. */
  request?: string;
};

const unsignedText = z.string().regex(/^(0|[1-9][0-9]{0,19})$/, 'must be an unsigned integer as decimal text');

const rowVersionSchema = z.strictObject({ epoch: z.int().min(0), id: unsignedText });

export const rowMessageSchema = z
  .strictObject({
    slice: z.string().min(1).max(64),
    table: z.string().min(1).max(64),
    op: z.enum(rowOps),
    key: z.record(z.string(), z.string()),
    keyText: z.string(),
    image: z.record(z.string(), z.string().nullable()).nullable(),
    version: rowVersionSchema,
    at: z
      .string()
      .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'must be an instant in UTC with microseconds, ISO 8601'),
    writer: z.strictObject({ user: z.string(), request: z.string().optional() }),
  })
  .superRefine((message, context) => {
    if ((message.op === 'delete') !== (message.image === null)) {
      context.addIssue({
        code: 'custom',
        path: ['image'],
        message: message.op === 'delete' ? 'must be null for a delete' : 'must hold the row for an upsert',
      });
    }
  });

/** A message that is not a row message; the message names where it came from and every fault. */
export class RowMessageError extends Error {
  override name = 'RowMessageError';
}

export const formatRowMessage = (message: RowMessage): string => JSON.stringify(message);

/**
 * Reads a row message from its JSON text.
 * @throws RowMessageError naming `origin` and every fault found.
 */
export const parseRowMessage = (text: string, origin: string): RowMessage => {
  const parsed = rowMessageSchema.safeParse(jsonOf(text, origin));
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'message'}: ${issue.message}`);
  throw new RowMessageError(`${origin}: ${faults.join('; ')}`);
};

/** The version of a row that was copied and of which no change has been captured: older than every captured one. */
export const initialVersion: RowVersion = { epoch: 0, id: '0' };

/** Negative if `a` is older than `b`, positive if newer, 0 if they are the same version. */
export const compareVersions = (a: RowVersion, b: RowVersion): number => {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch;
  if (a.id.length !== b.id.length) return a.id.length - b.id.length;
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
};

/** `<epoch>/<id>`, for the header x-strangler-version and for people. */
export const formatVersion = ({ epoch, id }: RowVersion): string => `${epoch}/${id}`;

/** Reads `<epoch>/<id>`. @throws RowMessageError when it is something else. */
export const parseVersion = (text: string): RowVersion => {
  const parts = /^(0|[1-9]\d{0,9})\/(0|[1-9]\d{0,19})$/.exec(text);
  if (parts === null) throw new RowMessageError(`a version: expected <epoch>/<id>, found ${JSON.stringify(text)}`);
  return { epoch: Number(parts[1]), id: parts[2]! };
};

/** In AMQP headers: the version of the row that the message carries. */
export const rowVersionHeader = 'x-strangler-version';

/** Names the message for good: the server that recorded it and its id there. */
export const messageIdOf = (sourceUuid: string, id: string): string => `${sourceUuid}/${id}`;

/** A key text is at most this long; a longer one is replaced by its digest. */
export const maxKeyTextBytes = 255;

/**
 * One text for a primary key: its columns' texts in the order of the key, `~` written as `~0` and `/` as `~1` (as in
 * RFC 6901), joined by `/`. One of more than `maxKeyTextBytes` bytes of UTF-8 becomes `~2` and the hex digits of its
 * SHA-256: `~2` stands in no other text. The triggers build the same text in SQL.
 */
export const joinKeyText = (parts: readonly string[]): string => {
  const text = parts.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
  if (Buffer.byteLength(text) <= maxKeyTextBytes) return text;
  return `~2${createHash('sha256').update(text).digest('hex')}`;
};

/** Outbox rows are spread over so many parts; one part is published in order by one worker at a time. */
export const partCount = 16;

/** The part of a subject's key: `CRC32(CONCAT(subject, '\0', subject_key)) MOD 16`, as the triggers compute it. */
export const partOf = (subject: string, keyText: string): number => crc32(`${subject}\0${keyText}`) % partCount;

/** A name as one word of a routing key: what a routing key's patterns would misread is written as %XX. */
export const topicWord = (name: string): string =>
  encodeURIComponent(name).replace(/[.*]/g, (sign) => (sign === '.' ? '%2E' : '%2A'));

/** The routing key of a row message: `<slice>.<table>.<op>`. */
export const rowTopic = (slice: string, table: string, op: RowOp): string => `${slice}.${topicWord(table)}.${op}`;

/** What the outbox holds of a change, as read from its table; `createdAt` is `YYYY-MM-DD hh:mm:ss.ffffff`, UTC. */
export type CapturedRow = {
  id: string;
  epoch: number;
  topic: string;
  subject: string;
  subjectKey: string;
  op: string;
  payload: string;
  headers: string;
  createdAt: string;
};

const payloadSchema = z.object({ key: rowMessageSchema.shape.key, image: rowMessageSchema.shape.image });
const headersSchema = z.object({ user: z.string(), request: z.string().nullish() });

/**
 * The message of an outbox row of kind `row`. Its payload is `{"key":{…},"image":{…}|null}`, its headers are
 * `{"user":…,"request":…|null}` and may hold more that is not the message's.
 * @throws RowMessageError naming the outbox row and every fault found.
 */
export const rowMessageOf = (row: CapturedRow): RowMessage => {
  const origin = `outbox row ${row.id} (${row.subject})`;
  const payload = payloadSchema.safeParse(jsonOf(row.payload, origin));
  const headers = headersSchema.safeParse(jsonOf(row.headers, origin));
  if (!payload.success || !headers.success) {
    const issues = [...(payload.error?.issues ?? []), ...(headers.error?.issues ?? [])];
    throw new RowMessageError(
      `${origin}: ${issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}`,
    );
  }
  const { user, request } = headers.data;
  return {
    slice: row.topic.slice(0, row.topic.indexOf('.')),
    table: row.subject,
    op: row.op as RowOp,
    key: payload.data.key,
    keyText: row.subjectKey,
    image: payload.data.image,
    version: { epoch: row.epoch, id: row.id },
    at: `${row.createdAt.slice(0, 10)}T${row.createdAt.slice(11)}Z`,
    writer: { user, ...(typeof request === 'string' ? { request } : {}) },
  };
};

const jsonOf = (text: string, origin: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const found = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
    throw new RowMessageError(`${origin}: expected JSON, found ${found}`, { cause });
  }
};
