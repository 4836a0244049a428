import type { DifferenceKind } from '../compare/compare-answers.ts';
import type { Redis } from '../redis.ts';
import { unpackCell, unpackSet } from './batch.ts';
import {
  type Acceptance,
  type CellCounts,
  type Outcome,
  outcomes,
  type ShadowExample,
  type ShadowGroup,
  type ShadowSummary,
} from './entry.ts';
import { sliceKeys } from './keep.ts';

/** Asks what the report of a slice says. undefined everywhere: Redis is away, so nothing is known. */
export type ReportReader = {
  summary(slice: string): Promise<ShadowSummary | undefined>;
  /** Most often seen first, accepted ones last. */
  groups(slice: string): Promise<ShadowGroup[] | undefined>;
  /** null: no such example, or no longer. */
  example(slice: string, id: string): Promise<ShadowExample | null | undefined>;
  /** How often comparisons of each cell ended how. */
  coverage(slice: string): Promise<CellCounts[] | undefined>;
  /** From now on the group explains itself. false: no such group. */
  accept(slice: string, group: string, by: { by: string; reason: string }): Promise<boolean | undefined>;
  /** Takes an acceptance back. false: it was not accepted. */
  unaccept(slice: string, group: string): Promise<boolean | undefined>;
  /**
   * Begins anew, after the service was mended: counts, groups and examples go, acceptances stay. Of requests that came
   * before now, by this machine's clock, nothing is counted any more. False: nothing was counted.
   */
  reset(slice: string): Promise<boolean | undefined>;
};

export const createReportReader = ({
  redis,
  prefix,
  nowMs = Date.now,
}: {
  redis: Redis;
  prefix: string;
  nowMs?: () => number;
}): ReportReader => {
  const keysOf = (slice: string) => sliceKeys(prefix, slice);

  const summary: ReportReader['summary'] = (slice) =>
    redis.run(async (client) => {
      const keys = keysOf(slice);
      const [totals, cells, sets, groups, accepted] = await Promise.all([
        client.hGetAll(keys.totals),
        client.hGetAll(keys.cells),
        client.hGetAll(keys.sets),
        client.hKeys(keys.groups),
        client.hKeys(keys.accepted),
      ]);
      const ended = Object.fromEntries(outcomes.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
      for (const [field, count] of Object.entries(cells)) {
        const outcome = unpackCell(field)?.outcome;
        if (outcome !== undefined && outcome in ended) ended[outcome] += Number(count);
      }
      const comparisonsIn = (isMeant: (group: string) => boolean): number =>
        Object.entries(sets).reduce((sum, [set, count]) => sum + (unpackSet(set).some(isMeant) ? Number(count) : 0), 0);
      const [known, explained] = [new Set(groups), new Set(accepted)];
      return {
        comparisons: Number(totals.comparisons ?? 0),
        outcomes: ended,
        first: dateOf(totals.firstMs),
        last: dateOf(totals.lastMs),
        groups: groups.length,
        unexplained: comparisonsIn((group) => !explained.has(group)),
        unlisted: comparisonsIn((group) => !known.has(group)),
      };
    });

  const groups: ReportReader['groups'] = (slice) =>
    redis.run(async (client) => {
      const keys = keysOf(slice);
      const [described, counts, seen, accepted] = await Promise.all([
        client.hGetAll(keys.groups),
        client.hGetAll(keys.counts),
        client.zRangeWithScores(keys.seen, 0, -1),
        client.hGetAll(keys.accepted),
      ]);
      const lastOf = new Map(seen.map(({ value, score }) => [value, score]));
      const listed = await Promise.all(
        Object.entries(described).map(async ([id, text]): Promise<ShadowGroup> => {
          const { endpoint, path, kind, firstMs } = JSON.parse(text) as GroupText;
          const ids = await client.zRange(keys.examplesOf(id), 0, -1, { REV: true });
          const kept = ids.length === 0 ? [] : await client.hmGet(keys.examples, ids);
          return {
            id,
            endpoint,
            path,
            kind,
            count: Number(counts[id] ?? 0),
            first: new Date(firstMs),
            last: new Date(lastOf.get(id) ?? firstMs),
            accepted: acceptanceOf(accepted[id]),
            // One that was dropped for the bytes it took is listed no more.
            examples: ids.filter((_, at) => kept[at] !== null && kept[at] !== undefined),
          };
        }),
      );
      const rank = ({ accepted }: ShadowGroup) => (accepted === null ? 0 : 1);
      return listed.sort(
        (one, other) => rank(one) - rank(other) || other.count - one.count || (one.id < other.id ? -1 : 1),
      );
    });

  return {
    summary,
    groups,
    example: (slice, id) =>
      redis.run(async (client) => {
        const text = await client.hGet(keysOf(slice).examples, id);
        if (text === null || text === undefined) return null;
        const example = JSON.parse(text);
        return { ...example, at: new Date(example.at) } as ShadowExample;
      }),
    coverage: (slice) =>
      redis.run(async (client) => {
        const cells = new Map<string, CellCounts>();
        for (const [field, count] of Object.entries(await client.hGetAll(keysOf(slice).cells))) {
          const read = unpackCell(field);
          if (read === null) continue;
          const { cell, outcome } = read;
          const name = `${cell.endpoint} ${cell.statusClass} ${cell.role} ${cell.access}`;
          const counts = cells.get(name) ?? { ...cell, outcomes: {} };
          counts.outcomes[outcome] = Number(count);
          cells.set(name, counts);
        }
        return [...cells].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, counts]) => counts);
      }),
    accept: (slice, group, { by, reason }) =>
      redis.run(async (client) => {
        const keys = keysOf(slice);
        const [known, count] = await Promise.all([client.hExists(keys.groups, group), client.hGet(keys.counts, group)]);
        if (!known) return false;
        const acceptance = { by, reason, at: new Date(), count: Number(count ?? 0) };
        await client.hSet(keys.accepted, group, JSON.stringify(acceptance));
        return true;
      }),
    unaccept: (slice, group) => redis.run(async (client) => (await client.hDel(keysOf(slice).accepted, group)) > 0),
    reset: (slice) =>
      redis.run(async (client) => {
        const keys = keysOf(slice);
        // First: what is written while this goes on is of requests that came before.
        await client.set(keys.since, String(nowMs()));
        const ids = await client.hKeys(keys.groups);
        const all = [
          keys.totals,
          keys.cells,
          keys.groups,
          keys.counts,
          keys.sets,
          keys.seen,
          keys.examples,
          keys.exampleOrder,
          keys.exampleRefs,
        ];
        return (await client.del([...all, ...ids.map((id) => keys.examplesOf(id))])) > 0;
      }),
  };
};

type GroupText = { endpoint: string; path: string; kind: DifferenceKind; firstMs: number };

const acceptanceOf = (text: string | undefined): Acceptance | null => {
  if (text === undefined) return null;
  const acceptance = JSON.parse(text) as Omit<Acceptance, 'at'> & { at: string };
  return { ...acceptance, at: new Date(acceptance.at) };
};

const dateOf = (ms: string | undefined): Date | null => (ms === undefined ? null : new Date(Number(ms)));
