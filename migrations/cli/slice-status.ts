import type { CanaryStanding } from '@strangler/platform/contracts/canary.ts';
import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument, Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { countParked } from '../engine/apply/parked.ts';
import { isOpen, type Side } from '../engine/cutover/journal.ts';
import { readJournal } from '../engine/cutover/journal-table.ts';
import { type Fence, readFence } from '../engine/fence/fence-state.ts';
import type { Direction } from '../engine/pipe/direction.ts';
import { nextStage } from '../engine/stages/advance.ts';
import {
  defaultGateBounds,
  judgeFlow,
  judgeShadow,
  judgeSync,
  type ShadowFigures,
  type Verdict,
  type VerifiedTable,
} from '../engine/stages/gates.ts';
import { measurePipe, measureSync } from '../engine/stages/measure.ts';
import { readVerifications, type Verification } from '../engine/verify/verify-record.ts';
import { describeJournal } from './cutover-view.ts';
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
  gates: { into: Stage; verdicts: Verdict[] } | null;
  /** Which way the pipe flows that is told of: from the owner of the writes to the other side. */
  direction: Direction;
  /** Whether the present owner's changes reach the other side soon enough that going back would be quick; null where there is none to go back to. */
  wayBack: { safe: boolean; lagMs: number; boundMs: number } | null;
  /** Of both databases; null where there is none. */
  fences: Record<Side, Pick<Fence, 'state' | 'epoch' | 'owner'> | null>;
  /** The last cut-over, as its coordinator wrote it down; null before the first. */
  cutover: CutoverJournal | null;
  /** How the canary fares; null at every other stage. */
  canary: CanaryStanding | null;
  /** Null where no pipe is installed. */
  pipe: (Omit<ShadowFigures, 'verified'> & { tables: TableReport[] }) | null;
};

export type TableReport = {
  table: string;
  backfill: { state: 'done' | 'running' | 'not begun'; rowsRead: number };
  parked: number;
  lastVerified: (VerifiedTable & { finishedAt: string }) | null;
};

/** Measures; changes nothing. `databases` is the pipe that flows from the owner. */
export const reportSlice = async (
  databases: OpenPipe,
  rabbit: RabbitConnection,
  flag: FlagDocument,
  canary: CanaryStanding | null = null,
  judgeComparison: () => Promise<Verdict[]> = async () => [],
): Promise<SliceReport> => {
  const { sliceName: slice, direction } = databases;
  const [monolith, service] =
    direction === 'forward'
      ? [databases.source.read, databases.target.read]
      : [databases.target.read, databases.source.read];
  const about = {
    slice,
    flag,
    direction,
    fences: {
      monolith: fenceOf(await readFence(monolith, slice)),
      service: fenceOf(await readFence(service, slice)),
    },
    cutover: (await readJournal(monolith, slice)) ?? null,
    canary: flag.stage === 'canary' ? canary : null,
  };
  if (flag.stage === 'monolith') {
    const verdicts = judgeSync(await measureSync({ databases }));
    return { ...about, gates: { into: 'sync', verdicts }, pipe: null, wayBack: null };
  }
  if (flag.stage === 'complete') return { ...about, gates: null, pipe: null, wayBack: null };
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
  const judge = direction === 'forward' ? judgeShadow : judgeFlow;
  const into = nextStage(flag.stage, slice);
  const compared = into === 'canary' ? await judgeComparison() : [];
  const { lagMs } = figures.lag;
  const boundMs = defaultGateBounds.maxLagMs;
  return {
    ...about,
    gates: { into, verdicts: [...compared, ...judge({ ...figures, slice, verified })] },
    pipe: { ...pipe, tables: reports },
    wayBack: direction === 'reverse' ? { safe: lagMs <= boundMs, lagMs, boundMs } : null,
  };
};

const fenceOf = (fence: Fence | undefined): SliceReport['fences'][Side] =>
  fence === undefined ? null : { state: fence.state, epoch: fence.epoch, owner: fence.owner };

const verifiedOf = (found: Verification | undefined): TableReport['lastVerified'] => {
  if (found === undefined) return null;
  const { startedAt: _started, finishedAt, ...rest } = found;
  return { ...rest, finishedAt: finishedAt.toISOString() };
};

/** The report as people read it. */
export const formatSliceReport = (report: SliceReport, now: Date): string => {
  const { slice, flag, gates, pipe, direction, wayBack, fences, cutover, canary } = report;
  const parts = [`${slice}: stage ${flag.stage}, ${describeFlag(flag)}`];
  const unfinished = cutover !== null && isOpen(cutover);
  if (flag.writes.owner === 'held' || unfinished) {
    parts.push(
      `A cut-over is not at its end. Is nobody at it any more, "strangler resume ${slice}" finishes it or calls it off.`,
    );
  }
  if (cutover !== null && (unfinished || flag.stage === 'reads' || flag.stage === 'writes')) {
    parts.push(describeJournal(cutover, now));
  }
  if (canary !== null) parts.push(describeCanary(canary));
  if (wayBack !== null && !wayBack.safe) {
    parts.push(
      `ALARM: the monolith's tables are ${formatTook(wayBack.lagMs)} behind the service's, more than ${formatTook(wayBack.boundMs)}: going back would have to wait for them. See that the relay of the service's database and an applier run.`,
    );
  }
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
        `flows     from the ${direction === 'forward' ? 'monolith to the service' : 'service to the monolith'}${sayFences(fences)}`,
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

const sayFences = ({ monolith, service }: SliceReport['fences']): string =>
  monolith === null || service === null
    ? ''
    : `; fences: monolith ${monolith.state}, service ${service.state}, epoch ${Math.max(monolith.epoch, service.epoch)}`;

const describeCanary = ({ percent, state, why, lacks, bakedMs, bakeMs, steering }: CanaryStanding): string =>
  [
    `canary    ${percent} %, ${state}: ${why}`,
    `baked     ${formatTook(bakedMs)} of ${formatTook(bakeMs)}; steered by ${steering}`,
    ...(lacks.length === 0 ? [] : [`lacks     ${lacks.join('; ')}`]),
  ].join('\n');

const sayVerified = (last: TableReport['lastVerified'], now: Date): string => {
  if (last === null) return 'never';
  const ago = formatTook(Math.max(0, now.getTime() - Date.parse(last.finishedAt)));
  const open = last.unsettled === 0 ? '' : `, ${last.unsettled} unsettled`;
  return `${formatCount(last.rowsCompared)} rows, ${last.differences} differences${open}, ${ago} ago`;
};
