import type { MappedTable } from '../apply/row-shape.ts';
import { keyValueSql, slotName, textTable } from '../apply/row-statements.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import { codecOf } from '../row/column-codec.ts';
import type { Queryable } from '../schema/queryable.ts';
import { columnOf } from '../schema/table-schema.ts';

/** A key that somebody has typed is not one of the table's. */
export class KeyArgumentError extends Error {
  override name = 'KeyArgumentError';
}

/** A key as people read and type it: its columns' texts joined by `/`, in them `~` as `~0` and `/` as `~1` (RFC 6901). */
export const formatKey = (key: KeyPlace): string =>
  key.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');

/** Reads what `formatKey` writes. @throws KeyArgumentError where it has not one part for each of the key's columns */
export const parseKey = ({ mapping }: Pick<MappedTable, 'mapping'>, text: string): KeyPlace => {
  const parts = text.split('/');
  const broken = parts.some((part) => /~(?![01])/.test(part));
  if (parts.length === mapping.key.length && !broken) {
    return parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  throw new KeyArgumentError(
    `a key of ${mapping.source}: expected ${mapping.key.join('/')}, with ~0 for ~ and ~1 for / in a value, found "${text}"`,
  );
};

/**
 * Sees that each text is a value of its column, spelt as the pipe spells it. What the server would make of another one
 * (0 of `abc`) is another row's key.
 * @throws KeyArgumentError naming the first that is not
 */
export async function checkKeys(db: Queryable, table: MappedTable, keys: readonly KeyPlace[]): Promise<void> {
  const { mapping, source, sourceDialect } = table;
  const spelt = mapping.key.map((name, index) => {
    const column = columnOf(source, name);
    const codec = codecOf(column, sourceDialect);
    // The value of these is a number or bytes, of which the column's own way of reading makes nothing sensible.
    if (codec.kind === 'enum' || codec.kind === 'set' || codec.kind === 'address') return `d.${slotName(index)}`;
    if (codec.kind === 'bit') return `HEX(${codec.valueSql(`d.${slotName(index)}`)})`;
    if (codec.kind === 'timestamp')
      return `CAST(${codec.valueSql(`d.${slotName(index)}`)} AS CHAR CHARACTER SET utf8mb4)`;
    return codec.encodeSql(keyValueSql(column, sourceDialect, `d.${slotName(index)}`));
  });
  const position = slotName(mapping.key.length);
  for (let from = 0; from < keys.length; from += 500) {
    const part = keys.slice(from, from + 500);
    const [rows] = await db.query({
      sql: `SELECT d.${position}, ${spelt.join(', ')} FROM ${textTable(mapping.key.length + 1)} AS d`,
      values: [JSON.stringify(part.map((key, index) => [...key, String(index)]))],
      rowsAsArray: true,
    });
    for (const [at, ...found] of rows as unknown as [string, ...(string | null)[]][]) {
      const key = part[Number(at)] as KeyPlace;
      const bad = key.findIndex((text, index) => found[index] !== text);
      if (bad === -1) continue;
      const { name, fullType } = columnOf(source, mapping.key[bad] as string);
      const read = found[bad] == null ? 'nothing' : `"${found[bad]}"`;
      throw new KeyArgumentError(
        `a key of ${mapping.source}: expected ${name} as a value of ${fullType}, found "${key[bad]}", which the server reads as ${read}`,
      );
    }
  }
}
