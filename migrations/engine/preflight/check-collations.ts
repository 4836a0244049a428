import type { TableMapping } from '../row/table-mapping.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { type ColumnSchema, columnOf, type TableSchema } from '../schema/table-schema.ts';
import type { End } from './check-expressions.ts';
import { type Finding, refuse, warn } from './finding.ts';

/** Two texts that some collations take for one value and others do not. */
type Pair = readonly [string, string];

const pairs: readonly Pair[] = [
  ['a', 'A'],
  ['a', 'a '],
  ['e', 'é'],
  ['o', 'ö'],
  ['o', 'ø'],
  ['n', 'ñ'],
  ['s', 'ß'],
  ['ss', 'ß'],
  ['ae', 'æ'],
  ['l', 'ł'],
  ['i', 'ı'],
  ['i', 'İ'],
  ['и', 'й'],
  ['あ', 'ア'],
  ['ハ', 'ﾊ'],
  ['1', '①'],
  ['2', '²'],
  ['😀', '😁'],
];

/**
 * Whether the columns by which the target tells rows apart tell them apart as the source does. Both servers are asked,
 * each by its own column's collation: names of collations do not say it, and the engines have different ones.
 */
export async function checkCollations(
  mapping: TableMapping,
  source: TableSchema,
  target: TableSchema,
  ends: { from: End; to: End },
): Promise<Finding[]> {
  const where = `target ${target.database}.${target.name}`;
  const findings: Finding[] = [];
  for (const [at, name] of mapping.key.entries()) {
    const targetName = mapping.targetKey[at];
    if (targetName === undefined) continue;
    const [from, to] = [columnOf(source, name), columnOf(target, targetName)];
    const compared = await compare(from, to, ends);
    if (compared === 'alike') continue;
    const reason = `the key column ${to.name} compares by ${to.collation}, ${from.name} by ${from.collation}`;
    if (compared === 'alike as far as tried') {
      const more = `${reason}: they agree on the texts tried, and may not on others`;
      findings.push(
        warn(
          'collation-differs',
          where,
          more,
          'where keys are more than plain letters and digits, give both one collation',
        ),
      );
      continue;
    }
    const more = `${reason}: ${sayPair(compared)}`;
    findings.push(refuse('collation-differs', where, more, remedyFor(from)));
  }
  for (const { name, columns } of addedKeys(mapping, target)) {
    for (const [to, from] of columns) {
      const compared = await compare(columnOf(source, from), columnOf(target, to), ends);
      if (typeof compared === 'string' || !compared.oneInTarget) continue;
      const reason = `its unique key ${name} compares ${to} by ${columnOf(target, to).collation}, the source by ${columnOf(source, from).collation}: ${sayPair(compared)}`;
      findings.push(refuse('collation-differs', where, reason, remedyFor(columnOf(source, from))));
    }
  }
  return findings;
}

const remedyFor = ({ collation }: ColumnSchema): string =>
  `give the target's column the collation ${collation}, or the one most like it that its server has`;

/** Exact unique keys of the target beside the one by which rows are found, of columns copied as they are: target and source column. */
const addedKeys = (
  { columns, targetKey }: TableMapping,
  target: TableSchema,
): { name: string; columns: (readonly [string, string])[] }[] =>
  [{ name: 'PRIMARY', columns: target.primaryKey, exact: true }, ...target.uniqueKeys]
    .filter((key) => key.exact && key.columns.some((name) => !targetKey.includes(name)))
    .map((key) => ({
      name: key.name,
      columns: key.columns.flatMap((name) => {
        const column = columns.find((one) => one.target === name);
        return column?.from === 'column' ? [[name, column.column] as const] : [];
      }),
    }));

type Difference = { pair: Pair; oneInTarget: boolean };
type Comparison = 'alike' | 'alike as far as tried' | Difference;

async function compare(from: ColumnSchema, to: ColumnSchema, ends: { from: End; to: End }): Promise<Comparison> {
  if (from.collation === null || to.collation === null || from.collation === to.collation) return 'alike';
  // What the source's character set cannot hold is never compared.
  const inSource = await probe(ends.from.db, from, from.charset);
  const inTarget = await probe(ends.to.db, to, from.charset);
  const at = pairs.findIndex((_, n) => inSource[n] !== null && inTarget[n] !== null && inSource[n] !== inTarget[n]);
  if (at >= 0) return { pair: pairs[at]!, oneInTarget: inTarget[at]! };
  const exact = [from, to].every(({ collation }) => collation!.endsWith('_bin'));
  return exact ? 'alike' : 'alike as far as tried';
}

/** Of each pair, whether it is one value by a column's collation; null where the character sets cannot hold it. */
async function probe(
  db: Queryable,
  { charset, collation }: ColumnSchema,
  narrow: string | null,
): Promise<(boolean | null)[]> {
  const asText = (text: string) => `CONVERT(x'${Buffer.from(text).toString('hex')}' USING utf8mb4)`;
  const keeps = (text: string, set: string | null) =>
    `HEX(CONVERT(CONVERT(${asText(text)} USING ${set}) USING utf8mb4)) = '${Buffer.from(text).toString('hex').toUpperCase()}'`;
  const compared = (text: string) => `CONVERT(${asText(text)} USING ${charset}) COLLATE ${collation}`;
  const list = pairs.map(
    ([one, other], at) =>
      `IF(${[one, other].flatMap((text) => [keeps(text, charset), keeps(text, narrow)]).join(' AND ')}, ` +
      `${compared(one)} = ${compared(other)}, NULL) AS p${at}`,
  );
  const [row] = await rowsOf<Record<string, number | null>>(db, `SELECT ${list.join(', ')}`).catch((error: unknown) => {
    // ER_UNKNOWN_CHARACTER_SET: the source's, which this server does not have.
    if ((error as { errno?: number }).errno === 1115) return [{} as Record<string, null>];
    throw error;
  });
  return pairs.map((_, at) => {
    const verdict = row![`p${at}`] ?? null;
    return verdict === null ? null : Number(verdict) === 1;
  });
}

const sayPair = ({ pair, oneInTarget }: Difference): string => {
  const [one, two] = oneInTarget ? ['target', 'source'] : ['source', 'target'];
  return `'${pair[0]}' and '${pair[1]}' are one value in the ${one} and two in the ${two}`;
};
