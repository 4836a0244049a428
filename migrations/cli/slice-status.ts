import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { countParked } from '../engine/apply/parked.ts';
import {
  judgeShadow,
  judgeSync,
  type ShadowFigures,
  type Verdict,
  type VerifiedTable,
} from '../engine/stages/gates.ts';
import { measurePipe, measureSync } from '../engine/stages/measure.ts';
import { readVerifications, type Verification } from '../engine/verify/verify-record.ts';
import { describeFlag } from './flag-edit.ts';
import type { OpenPipe } from './pipe-options.ts';
import { formatCount, formatTook } from './progress-view.ts';
import { describeGates } from './stage-view.ts';
import { formatTable } from './table.ts';

/** Where one slice stands, measured in both databases and at the broker. */
export type SliceReport = {
  slice: string;
  flag: FlagDocument;
  /** Of the gate into the next stage; the last comparison counts as far as it is known. */
  gates: { into: 'sync' | 'shadow'; verdicts: Verdict[] } | null;
  /** Null where no pipe is installed. */
  pipe: (Omit<ShadowFigures, 'verified'> & { tables: TableReport[] }) | null;
};

export type TableReport = {
  table: string;
  backfill: { state: 'done' | 'running' | 'not begun'; rowsRead: number };
  parked: number;
  lastVerified: (VerifiedTable & { finishedAt: string }) | null;
};

/** Measures; changes nothing. */
export const reportSlice = async (
  databases: OpenPipe,
  rabbit: RabbitConnection,
  flag: FlagDocument,
): Promise<SliceReport> => {
  const { slice } = databases.slice;
  if (flag.stage === 'monolith') {
    const verdicts = judgeSync(await measureSync({ databases }));
    return { slice, flag, gates: { into: 'sync', verdicts }, pipe: null };
  }
  const tables = await databases.tables();
  const figures = await measurePipe({ databases, rabbit }, tables);
  const last = await readVerifications(databases.target.read);
  const parked = await countParked(
    databases.target.read,
    tables.map(({ mapping }) => mapping.target),
  );
  const reports = figures.backfill.map(
    ({ table, state, rowsRead }): TableReport => ({
      table,
      backfill: { state, rowsRead },
      parked: parked.get(table) ?? 0,
      lastVerified: verifiedOf(last.get(table)),
    }),
  );
  const known = reports.flatMap(({ lastVerified }) => (lastVerified === null ? [] : [lastVerified]));
  const verified = known.length === reports.length ? known : null;
  const { verified: _not, ...pipe } = figures;
  return {
    slice,
    flag,
    gates: flag.stage === 'sync' ? { into: 'shadow', verdicts: judgeShadow({ ...figures, verified }) } : null,
    pipe: { ...pipe, tables: reports },
  };
};

const verifiedOf = (found: Verification | undefined): TableReport['lastVerified'] => {
  if (found === undefined) return null;
  const { startedAt: _started, finishedAt, ...rest } = found;
  return { ...rest, finishedAt: finishedAt.toISOString() };
};

/** The report as people read it. */
export const formatSliceReport = ({ slice, flag, gates, pipe }: SliceReport, now: Date): string => {
  const parts = [`${slice}: stage ${flag.stage}, ${describeFlag(flag)}`];
  if (pipe !== null) {
    parts.push(
      formatTable(
        ['TABLE', 'COPIED', 'WAITING', 'LAST VERIFIED'],
        pipe.tables.map(({ table, backfill, parked, lastVerified }) => [
          table,
          backfill.state === 'not begun' ? 'not begun' : `${backfill.state}, ${formatCount(backfill.rowsRead)} rows`,
          parked,
          sayVerified(lastVerified, now),
        ]),
      ),
      [
        `lag       ${formatTook(pipe.lag.lagMs)} (${pipe.lag.unpublished} changes not published, ${pipe.lag.unapplied} not applied)`,
        `applier   ${pipe.consumed.queues} of ${pipe.consumed.of} queues consumed, ${pipe.deadLetters} dead letters`,
        `capture   ${pipe.drift.length === 0 ? 'as installed' : pipe.drift.map(({ kind, name }) => `${name} ${kind}`).join(', ')}`,
      ].join('\n'),
    );
  }
  if (gates !== null) {
    parts.push(`Into ${gates.into}:\n${describeGates(gates.verdicts)}`);
    const todo = gates.verdicts.flatMap(({ gate, todo }) => (todo === null ? [] : [`${gate}: ${todo}`]));
    parts.push(todo.length === 0 ? `Next: "strangler advance ${slice}"` : todo.join('\n'));
  }
  return parts.join('\n\n');
};

const sayVerified = (last: TableReport['lastVerified'], now: Date): string => {
  if (last === null) return 'never';
  const ago = formatTook(Math.max(0, now.getTime() - Date.parse(last.finishedAt)));
  const open = last.unsettled === 0 ? '' : `, ${last.unsettled} unsettled`;
  return `${formatCount(last.rowsCompared)} rows, ${last.differences} differences${open}, ${ago} ago`;
};
