import { randomBytes } from 'node:crypto';
import { type Cell, cleanOutcomes, type GroupKey, groupId, type Outcome, type RecordedComparison } from './entry.ts';

/** What a process holds of one slice until it is written: sums, so that it grows with what is told apart, not with traffic. */
export type SliceBatch = {
  /** Written once, however often it is sent. */
  id: string;
  comparisons: number;
  /** Packed cell and outcome → how often. */
  cells: Map<string, number>;
  /** Ids of the groups of one comparison, packed → how many comparisons differ in just these. */
  sets: Map<string, number>;
  groups: Map<string, { key: GroupKey; count: number; firstMs: number; lastMs: number }>;
  examples: { id: string; groups: string[]; json: string; atMs: number }[];
  firstMs: number;
  lastMs: number;
};

export type BatchBounds = {
  maxCells: number;
  maxGroups: number;
  /** Examples that wait to be written. */
  maxExamples: number;
  maxExampleBytes: number;
};

export const emptyBatch = (): SliceBatch => ({
  id: randomBytes(9).toString('base64url'),
  comparisons: 0,
  cells: new Map(),
  sets: new Map(),
  groups: new Map(),
  examples: [],
  firstMs: Number.POSITIVE_INFINITY,
  lastMs: 0,
});

/** Stands for groups for which there is no room: a comparison that has it is counted, and nobody can accept it. */
export const unlistedGroup = 'unlisted';

/** A comparison in more groups than that is in `unlisted` too. */
const mostGroupsOfSet = 30;

const packSet = (groups: readonly string[]): string => [...groups].sort().join(' ');
export const unpackSet = (field: string): string[] => field.split(' ');

/** Adds a comparison; tells what there was no room for. */
export const addToBatch = (
  batch: SliceBatch,
  comparison: RecordedComparison,
  outcome: Outcome,
  bounds: BatchBounds,
  wantsExample: (groups: readonly string[]) => boolean,
): { lostCell: boolean; lostExample: boolean } => {
  const atMs = comparison.at.getTime();
  const field = packCell(comparison, outcome);
  const known = batch.cells.get(field);
  const lostCell = known === undefined && batch.cells.size >= bounds.maxCells;
  if (!lostCell) batch.cells.set(field, (known ?? 0) + 1);
  batch.comparisons += 1;
  batch.firstMs = Math.min(batch.firstMs, atMs);
  batch.lastMs = Math.max(batch.lastMs, atMs);

  const groups = new Map<string, GroupKey>();
  if (outcome === 'different') {
    for (const { path, kind } of comparison.differences) {
      const key = { slice: comparison.slice, endpoint: comparison.endpoint, path: path.slice(0, 500), kind };
      groups.set(groupId(key), key);
    }
  }
  const listed: string[] = [];
  for (const [id, key] of groups) {
    const group = batch.groups.get(id);
    if (group !== undefined) {
      group.count += 1;
      group.firstMs = Math.min(group.firstMs, atMs);
      group.lastMs = Math.max(group.lastMs, atMs);
    } else if (batch.groups.size < bounds.maxGroups) {
      batch.groups.set(id, { key, count: 1, firstMs: atMs, lastMs: atMs });
    } else {
      continue;
    }
    listed.push(id);
  }
  if (outcome === 'different') {
    const whole = listed.length === groups.size && listed.length > 0 && listed.length <= mostGroupsOfSet;
    const wanted = packSet(whole ? listed : [...listed.slice(0, mostGroupsOfSet), unlistedGroup]);
    const set = batch.sets.has(wanted) || batch.sets.size < bounds.maxCells ? wanted : unlistedGroup;
    batch.sets.set(set, (batch.sets.get(set) ?? 0) + 1);
  }
  return { lostCell, lostExample: !addExample(batch, comparison, [...groups.keys()], bounds, wantsExample) };
};

const addExample = (
  batch: SliceBatch,
  { example, slice, endpoint, role, statusClass, access, at, differences }: RecordedComparison,
  groups: string[],
  bounds: BatchBounds,
  wantsExample: (groups: readonly string[]) => boolean,
): boolean => {
  if (example === undefined || groups.length === 0 || !wantsExample(groups)) return true;
  if (batch.examples.length >= bounds.maxExamples) return false;
  const id = randomBytes(6).toString('hex');
  const shown = differences.slice(0, 20);
  const json = JSON.stringify({ id, slice, endpoint, role, statusClass, access, at, ...example, differences: shown });
  if (Buffer.byteLength(json) > bounds.maxExampleBytes) return false;
  batch.examples.push({ id, groups, json, atMs: at.getTime() });
  return true;
};

const mark = '\u001f';

export const packCell = ({ endpoint, statusClass, role, access }: Cell, outcome: Outcome): string =>
  [endpoint, statusClass, role, access, outcome].join(mark);

/** null: not of this form. */
export const unpackCell = (field: string): { cell: Cell; outcome: Outcome } | null => {
  const [endpoint, statusClass, role, access, outcome] = field.split(mark);
  if (outcome === undefined) return null;
  return { cell: { endpoint, statusClass, role, access } as Cell, outcome: outcome as Outcome };
};

export const isClean = (outcome: Outcome): boolean => cleanOutcomes.includes(outcome);

/** The batch as the script of `keep.ts` reads it. */
export const packBatch = (batch: SliceBatch): string =>
  JSON.stringify({
    id: batch.id,
    comparisons: batch.comparisons,
    cells: [...batch.cells],
    sets: [...batch.sets],
    groups: [...batch.groups].map(([id, { key, count, firstMs, lastMs }]) => [
      id,
      count,
      lastMs,
      JSON.stringify({ endpoint: key.endpoint, path: key.path, kind: key.kind, firstMs }),
    ]),
    examples: batch.examples.map(({ id, groups, json, atMs }) => [id, groups, json, atMs]),
    firstMs: batch.firstMs,
    lastMs: batch.lastMs,
  });
