import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import fc from 'fast-check';
import { rowMessage } from './fixture.ts';

/** A row of the table that histories are of: `email` is unique and never NULL, `code` unique where it is not NULL. */
export type HistoryRow = { id: string; email: string; code: string | null; note: string };

export const historyColumns = `id INT NOT NULL PRIMARY KEY, email VARCHAR(20) NOT NULL, code INT NULL, note VARCHAR(20) NOT NULL,
  UNIQUE KEY by_email (email), UNIQUE KEY by_code (code)`;

/** What a writer does; what a source would refuse does nothing. */
type Step =
  | { do: 'put'; id: number; email: number; code: number | null; note: number }
  | { do: 'delete'; id: number }
  | { do: 'rekey'; from: number; to: number }
  | { do: 'swap emails'; a: number; b: number }
  | { do: 'swap keys'; a: number; b: number }
  | { do: 'next epoch' };

const id = fc.integer({ min: 0, max: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      id,
      email: fc.nat(5),
      code: fc.option(fc.nat(4)),
      note: fc.nat(9),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), id }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rekey' as const), from: id, to: id }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('swap emails' as const), a: id, b: id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('swap keys' as const), a: id, b: id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('next epoch' as const) }) },
);

export const steps = fc
  .tuple(fc.boolean(), fc.array(step, { minLength: 1, maxLength: 25 }))
  // Half of them begin with all rows there, so that there is something to exchange.
  .map(([full, more]): Step[] => [
    ...(full ? [0, 1, 2, 3, 4].map((at): Step => ({ do: 'put', id: at, email: at, code: at, note: 0 })) : []),
    ...more,
  ]);

/** The messages that capture makes of what a writer did, and the rows that are there in the end. */
export function historyOf(table: string, done: readonly Step[]): { messages: RowMessage[]; rows: HistoryRow[] } {
  const rows = new Map<string, HistoryRow>();
  const messages: RowMessage[] = [];
  let epoch = 1;
  let nextId = 100;

  const free = (row: HistoryRow) =>
    [...rows.values()].every(
      (other) => other.id === row.id || (other.email !== row.email && (row.code === null || other.code !== row.code)),
    );
  const version = () => {
    const at = { epoch, id: String(nextId) };
    nextId += 1;
    return at;
  };
  const put = (row: HistoryRow) => {
    rows.set(row.id, row);
    messages.push(rowMessage(table, 'upsert', { id: row.id }, { ...row }, version()));
  };
  const remove = (key: string) => {
    rows.delete(key);
    messages.push(rowMessage(table, 'delete', { id: key }, null, version()));
  };
  // An update of the key is a delete of the old one and an upsert of the new one.
  const rekey = (from: string, to: string) => {
    const row = rows.get(from);
    if (row === undefined || rows.has(to)) return;
    remove(from);
    put({ ...row, id: to });
  };

  for (const one of done) {
    if (one.do === 'put') {
      const row = { id: `${one.id}`, email: `e${one.email}`, code: one.code?.toString() ?? null, note: `n${one.note}` };
      if (free(row)) put(row);
    } else if (one.do === 'delete') {
      if (rows.has(`${one.id}`)) remove(`${one.id}`);
    } else if (one.do === 'rekey') {
      if (one.from !== one.to) rekey(`${one.from}`, `${one.to}`);
    } else if (one.do === 'swap emails') {
      const [a, b] = [rows.get(`${one.a}`), rows.get(`${one.b}`)];
      if (a === undefined || b === undefined || a === b) continue;
      put({ ...a, email: 'between' });
      put({ ...b, email: a.email });
      put({ ...a, email: b.email });
    } else if (one.do === 'swap keys') {
      if (one.a === one.b || !rows.has(`${one.a}`) || !rows.has(`${one.b}`)) continue;
      rekey(`${one.a}`, '9');
      rekey(`${one.b}`, `${one.a}`);
      rekey('9', `${one.b}`);
    } else {
      // The other side's outbox counts from wherever it stands.
      epoch += 1;
      nextId = 1;
    }
  }
  return { messages, rows: [...rows.values()].sort((a, b) => Number(a.id) - Number(b.id)) };
}

/** The order in which messages come, each at least once, in batches: indices into the messages. */
export const deliveries = (count: number): fc.Arbitrary<number[][]> =>
  fc
    .record({
      order: fc.oneof(
        fc.constant(Array.from({ length: count }, (_, index) => index)),
        fc.shuffledSubarray(
          Array.from({ length: count }, (_, index) => index),
          { minLength: count, maxLength: count },
        ),
      ),
      again: fc.array(fc.record({ what: fc.nat(), where: fc.nat() }), { maxLength: 8 }),
      cuts: fc.array(fc.nat(7), { minLength: 1, maxLength: 12 }),
    })
    .map(({ order, again, cuts }) => {
      const all = [...order];
      if (count > 0) for (const { what, where } of again) all.splice(where % (all.length + 1), 0, what % count);
      const batches: number[][] = [];
      for (let at = 0, cut = 0; at < all.length; cut += 1) {
        const size = 1 + (cuts[cut % cuts.length] as number);
        batches.push(all.slice(at, at + size));
        at += size;
      }
      return batches;
    });
