import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { CutoverJournal, CutoverOutcomeName, JournalStep } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';

/** The sides of a cut-over, by the names of flag documents and fences. */
export type Side = 'monolith' | 'service';

export const otherSide = (side: Side): Side => (side === 'monolith' ? 'service' : 'monolith');

/** The journal of a cut-over that is about to begin. */
export const beginJournal = (
  document: Pick<FlagDocument, 'slice' | 'epoch'>,
  to: Side,
  { by, reason }: { by: string; reason: string },
): CutoverJournal => ({
  id: randomUUID(),
  slice: document.slice,
  from: otherSide(to),
  to,
  fromEpoch: document.epoch,
  epoch: document.epoch + 1,
  by,
  reason,
  host: hostname(),
  pid: process.pid,
  deadline: null,
  steps: [],
  floor: null,
  changeIds: { hold: null, commit: null, callOff: null },
  outcome: null,
  why: null,
});

/** Ends the step under way, if there is one, and begins the next: one write of the journal for both. */
export const beginStep = (journal: CutoverJournal, step: JournalStep, now: Date): CutoverJournal => ({
  ...endStep(journal, now),
  steps: [...endStep(journal, now).steps, { step, startedAt: now.toISOString(), endedAt: null, detail: null }],
});

/** Ends the step under way. */
export const endStep = (journal: CutoverJournal, now: Date): CutoverJournal => ({
  ...journal,
  steps: journal.steps.map((step) => (step.endedAt === null ? { ...step, endedAt: now.toISOString() } : step)),
});

/** Says of the last step what it found or waited for. */
export const describeStep = (journal: CutoverJournal, detail: string): CutoverJournal => ({
  ...journal,
  steps: journal.steps.map((step, at) => (at === journal.steps.length - 1 ? { ...step, detail } : step)),
});

/** Ends the journal; one that waits for a resume goes on with another step. */
export const endJournal = (
  journal: CutoverJournal,
  outcome: CutoverOutcomeName,
  why: string | null,
  now: Date,
): CutoverJournal => ({ ...endStep(journal, now), outcome, why: why ?? journal.why });

/** Whether somebody has to finish it or call it off: its coordinator, or who resumes it. */
export const isOpen = ({ outcome }: Pick<CutoverJournal, 'outcome'>): boolean =>
  outcome === null || outcome === 'waiting for resume';

/** Whether a step was begun, whatever became of it. */
export const hasBegun = ({ steps }: Pick<CutoverJournal, 'steps'>, step: JournalStep): boolean =>
  steps.some((one) => one.step === step);
