import { type OutboxRow, weightOf } from '../message.ts';

/**
 * A row that has been read and is not known to be marked yet. `waiting`: an earlier row of its key has not been confirmed.
 * `ready`: to be sent. `sent`: no confirm yet. `refused`: returned or nacked, to be sent again later. `confirmed`: to be
 * marked. `dropped`: forgotten here, and read again by whoever holds the lease.
 */
export type HeldRow = OutboxRow & {
  /** Of the lease under which it was read. */
  token: string;
  state: 'waiting' | 'ready' | 'sent' | 'refused' | 'confirmed' | 'dropped';
  /** How often it was returned or nacked. */
  refusals: number;
  /** Commit-to-read as the database's clock tells, and when it was read on this process's clock, in ms. */
  ageAtReadMs: number;
  readAtMs: number;
};

/**
 * The rows between having been read and having been marked. Of each key one row at most is on its way at any time: the
 * next is ready when the broker has confirmed the one before, so no return, nack, lost connection or second relay can
 * let a later row of a key arrive before an earlier one has.
 */
export type Window = {
  /** Adds rows of one part, in the order of their ids; those that it holds already are left out. */
  add(rows: readonly HeldRow[]): void;
  /** The next row to send, which is then `sent`. */
  take(): HeldRow | undefined;
  confirm(row: HeldRow): void;
  refuse(row: HeldRow): void;
  /** A refused row is ready again. */
  retry(row: HeldRow): void;
  marked(rows: readonly HeldRow[]): void;
  /** Forgets a part's rows: its lease is lost. */
  drop(part: number): void;
  /** Forgets all that is not confirmed: the channel it was sent on has ended. */
  dropUnconfirmed(): void;
  /** Forgets a part's rows that are not on their way: the part is being given back. */
  dropUnsent(part: number): void;
  /**
   * Grows with every drop. Rows that were read before one and come after it must not be added: the read left out
   * rows that were held then, and what follows them would go ahead of them.
   */
  drops(): number;
  ids(part: number): string[];
  size(part: number): number;
  rows(): number;
  sent(): number;
  refused(): number;
  weight(): number;
};

export function createWindow(): Window {
  const parts = new Map<number, Map<string, HeldRow>>();
  // First the row that is on its way or ready, then those that wait for it.
  const keys = new Map<string, HeldRow[]>();
  // What is dropped stays in here until it comes out.
  let ready: HeldRow[] = [];
  let readyFrom = 0;
  let sent = 0;
  let refused = 0;
  let drops = 0;
  let rowCount = 0;
  let weight = 0;

  const keyOf = (row: HeldRow) => `${row.subject}\0${row.subjectKey}`;

  function makeReady(row: HeldRow): void {
    row.state = 'ready';
    ready.push(row);
  }

  function leave(row: HeldRow): void {
    if (!parts.get(row.part)?.delete(row.id)) return;
    rowCount -= 1;
    weight -= weightOf(row);
  }

  function forget(row: HeldRow): void {
    if (row.state === 'sent') sent -= 1;
    if (row.state === 'refused') refused -= 1;
    row.state = 'dropped';
    leave(row);
  }

  // What waits behind a row is always forgotten with it: the queues stay whole.
  function forgetPart(part: number, which: (row: HeldRow) => boolean): void {
    drops += 1;
    for (const row of [...(parts.get(part)?.values() ?? [])]) {
      if (!which(row)) continue;
      const key = keyOf(row);
      const queue = keys.get(key)?.filter((other) => other !== row) ?? [];
      if (queue.length === 0) keys.delete(key);
      else keys.set(key, queue);
      forget(row);
    }
  }

  return {
    add(rows) {
      for (const row of rows) {
        const part = parts.get(row.part) ?? new Map<string, HeldRow>();
        parts.set(row.part, part);
        if (part.has(row.id)) continue;
        part.set(row.id, row);
        rowCount += 1;
        weight += weightOf(row);
        const key = keyOf(row);
        const queue = keys.get(key);
        if (queue === undefined) {
          keys.set(key, [row]);
          makeReady(row);
        } else {
          row.state = 'waiting';
          queue.push(row);
        }
      }
    },
    take() {
      for (;;) {
        const row = ready[readyFrom];
        if (row === undefined) {
          ready = [];
          readyFrom = 0;
          return undefined;
        }
        readyFrom += 1;
        if (readyFrom >= 1024 && readyFrom * 2 >= ready.length) {
          ready = ready.slice(readyFrom);
          readyFrom = 0;
        }
        if (row.state !== 'ready') continue;
        row.state = 'sent';
        sent += 1;
        return row;
      }
    },
    confirm(row) {
      if (row.state !== 'sent') return;
      sent -= 1;
      row.state = 'confirmed';
      const key = keyOf(row);
      const queue = keys.get(key) ?? [];
      queue.shift();
      const next = queue[0];
      if (next === undefined) keys.delete(key);
      else makeReady(next);
    },
    refuse(row) {
      if (row.state !== 'sent') return;
      sent -= 1;
      refused += 1;
      row.refusals += 1;
      row.state = 'refused';
    },
    retry(row) {
      if (row.state !== 'refused') return;
      refused -= 1;
      makeReady(row);
    },
    marked(rows) {
      for (const row of rows) if (row.state === 'confirmed') leave(row);
    },
    drop: (part) => forgetPart(part, () => true),
    dropUnconfirmed() {
      for (const part of parts.keys()) forgetPart(part, (row) => row.state !== 'confirmed');
    },
    dropUnsent: (part) => forgetPart(part, (row) => row.state !== 'confirmed' && row.state !== 'sent'),
    drops: () => drops,
    ids: (part) => [...(parts.get(part)?.keys() ?? [])],
    size: (part) => parts.get(part)?.size ?? 0,
    rows: () => rowCount,
    sent: () => sent,
    refused: () => refused,
    weight: () => weight,
  };
}
