import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { CutoverCalledOffOutcome, CutoverDone, CutoverEvent } from '../engine/cutover/cutover-work.ts';
import { formatTook } from './progress-view.ts';
import type { StageView } from './stage-view.ts';
import { formatTable } from './table.ts';

/** An event of a cut-over as one line; null for what people need not read. */
export const describeCutoverEvent = (event: Extract<CutoverEvent, { kind: 'cutover' }>): string => {
  if (event.state === 'begun') return `${event.step} …`;
  const waited = event.waitedFor === null ? '' : `, waited for ${event.waitedFor}`;
  return `${event.step} done in ${formatTook(event.ms)}${waited}`;
};

/** What came of a cut-over: who owns the writes, how long they waited, and where the time went. */
export const describeCutover = ({ document, timeline, pauseMs, drained }: CutoverDone): string => {
  const { slice, epoch, stage, writes } = document;
  const pause =
    pauseMs === null
      ? 'how long writes waited is not known: another command had begun it'
      : `writes waited ${formatTook(pauseMs)} at most, ${drained} rows were drained meanwhile`;
  return [
    formatTable(
      ['STEP', 'TOOK', 'WAITED FOR'],
      timeline.map(({ step, ms, waitedFor }) => [step, formatTook(ms), waitedFor ?? '']),
    ),
    `${slice}: stage ${stage}; the ${writes.owner} owns the writes under epoch ${epoch}; ${pause}`,
  ].join('\n\n');
};

/** Where a cut-over stands by its journal, for whoever looks on. */
export const describeJournal = (journal: CutoverJournal, now: Date): string => {
  const { from, to, by, host, pid, outcome, why, steps } = journal;
  const state = outcome ?? 'under way, or its coordinator has died';
  const rows = steps.map(({ step, startedAt, endedAt, detail }) => {
    const end = endedAt === null ? now.getTime() : Date.parse(endedAt);
    const took = formatTook(Math.max(0, end - Date.parse(startedAt)));
    return [step, startedAt, endedAt === null ? `${took} so far` : took, detail ?? ''];
  });
  return [
    `Cut-over ${from} → ${to} by ${by} (${host}, process ${pid}): ${state}${why === null ? '' : `: ${why}`}`,
    formatTable(['STEP', 'BEGAN', 'TOOK', 'DETAIL'], rows),
  ].join('\n');
};

/** Shows a cut-over as it goes, beside what a stage change shows. */
export const showCutover = (view: StageView, event: CutoverEvent): void => {
  if (event.kind === 'cutover') view.note(event, describeCutoverEvent(event));
  else if (event.kind === 'gates of the cut-over') view.gates(event, event.verdicts);
  else view.show(event);
};

/** As JSON tells it. */
export const cutoverResult = (outcome: CutoverDone | CutoverCalledOffOutcome): object =>
  outcome.kind === 'done'
    ? {
        kind: 'cut-over',
        outcome: 'done',
        ...{ from: outcome.journal.from, to: outcome.journal.to, epoch: outcome.document.epoch },
        ...{ pauseMs: outcome.pauseMs, drained: outcome.drained, timeline: outcome.timeline },
      }
    : { kind: 'cut-over', outcome: 'called off', why: outcome.why, epoch: outcome.document.epoch };
