import { compareVersions, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import type { Suspect } from './compare-chunk.ts';
import { judge, type MappedTexts } from './judge.ts';
import type { Looks, SourceRow } from './look.ts';

/** A row that is at the same version on both sides and not the same. */
export type RowDifference = {
  table: string;
  how: 'changed' | 'missing' | 'extra';
  /** Source key column → text. */
  key: Record<string, string>;
  keyText: string;
  version: RowVersion;
  /** Target columns whose values differ. */
  columns: string[];
  /** Target column → what it should be; null where there should be no row. */
  expected: Record<string, string | null> | null;
  /** Target column → what it is; null where there is no row. */
  found: Record<string, string | null> | null;
};

export type SuspectEvent =
  | { kind: 'difference'; difference: RowDifference }
  | { kind: 'unsettled'; table: string; key: Record<string, string>; keyText: string; missing: RowVersion | null };

/** How many rows are looked at in one statement. */
export const lookedAtOnce = 200;

/** A row that is looked at until it is settled. */
type Pending = {
  key: KeyPlace;
  sinceMs: number;
  /** What the source had in its last looks, oldest first: the target may be met at any of these versions. */
  images: SourceRow[];
  /**
   * `still`: the target is expected to reach the last image. `moving`: it has passed one without being met there, so the
   * source is looked at every time: of a row that is written all the time the target shows few of the versions.
   */
  pace: 'still' | 'moving';
  /** The target's version when it was last looked at. */
  seen: RowVersion | null;
  missing: RowVersion | null;
};

/** How many images of a row are kept; what a busy row becomes within the lag of the pipe. */
const imagesKept = 64;

/** The image by which a target at this version is judged: the one of that very version, else the newest. */
const imageAt = (images: readonly SourceRow[], version: RowVersion): SourceRow =>
  (images.findLast(({ newest }) => newest !== null && compareVersions(newest, version) === 0) ??
    images.at(-1)) as SourceRow;

/** Rows in doubt, and what became of those that were. */
export function createSuspects({
  mapping,
  looks,
  patienceMs,
  nowMs = () => performance.now(),
}: {
  mapping: MappedTable['mapping'];
  looks: Looks;
  /** How long a row may be behind before it is told as unsettled. */
  patienceMs: number;
  nowMs?: () => number;
}) {
  let pending: Pending[] = [];
  /** No more than differences are told. */
  const told = new Set<string>();
  let differences = 0;
  let unsettled = 0;
  let looked = 0;

  const named = (texts: MappedTexts): Record<string, string | null> | null =>
    texts && Object.fromEntries(mapping.columns.map((column, index) => [column.target, texts[index] ?? null]));
  const keyOf = ({ key }: SourceRow): Record<string, string> =>
    Object.fromEntries(mapping.key.map((name, at) => [name, key[at] as string]));

  async function lookAt(batch: readonly Pending[]): Promise<{ events: SuspectEvent[]; still: Pending[] }> {
    const anew = batch.filter(({ images, pace }) => pace === 'moving' || images.length === 0);
    const read = await looks.source(anew.map(({ key }) => key));
    anew.forEach((one, index) => {
      one.images.push(read[index] as SourceRow);
      if (one.images.length > imagesKept) one.images.shift();
    });
    const targets = await looks.target(batch.map(({ images }) => images.at(-1) as SourceRow));
    const events: SuspectEvent[] = [];
    const still: Pending[] = [];
    batch.forEach((one, index) => {
      const there = targets[index] as (typeof targets)[number];
      const row = imageAt(one.images, there.version);
      const verdict = judge(row, there, one.seen, looks.same);
      if (verdict.kind === 'same') return;
      if (verdict.kind === 'different') {
        // Two spellings of a key are one row.
        if (told.has(row.keyText)) return;
        told.add(row.keyText);
        differences += 1;
        const difference: RowDifference = {
          table: mapping.target,
          how: verdict.how,
          key: keyOf(row),
          keyText: row.keyText,
          version: verdict.version,
          columns: row.texts && there.texts ? looks.differing(row.texts, there.texts) : [],
          expected: named(row.texts),
          found: named(there.texts),
        };
        events.push({ kind: 'difference', difference });
        return;
      }
      one.missing = verdict.kind === 'behind' ? verdict.missing : null;
      if (nowMs() - one.sinceMs > patienceMs) {
        unsettled += 1;
        const { keyText } = row;
        events.push({ kind: 'unsettled', table: mapping.target, key: keyOf(row), keyText, missing: one.missing });
        return;
      }
      // Behind, the image that the source had at that version can still be met; ahead, it never will be.
      if (verdict.kind === 'ahead') {
        one.images = [];
        one.pace = 'moving';
        one.seen = there.version;
      }
      still.push(one);
    });
    return { events, still };
  }

  return {
    add(found: readonly Suspect[]) {
      looked += found.length;
      const sinceMs = nowMs();
      for (const { key } of found) pending.push({ key, sinceMs, images: [], pace: 'still', seen: null, missing: null });
    },
    /** Looks once at every row in doubt; gives what that settled. */
    async look(): Promise<SuspectEvent[]> {
      const events: SuspectEvent[] = [];
      const still: Pending[] = [];
      for (let from = 0; from < pending.length; from += lookedAtOnce) {
        const done = await lookAt(pending.slice(from, from + lookedAtOnce));
        events.push(...done.events);
        still.push(...done.still);
      }
      pending = still;
      return events;
    },
    count: () => pending.length,
    totals: () => ({ differences, unsettled, looked }),
  };
}
