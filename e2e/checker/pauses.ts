import { type CutoverJournal, cutoverSteps } from '@strangler/platform/contracts/cutover-journal.ts';
import type { Ownership } from './check-cutovers.ts';
import type { Operation } from './operation.ts';

/** How a cut-over looked to the clients that wrote through it, in milliseconds. */
export type WritePause = {
  /** The longest time in which no write was acknowledged. */
  gapMs: number;
  /** The longest that a write took which was under way between hold and release; 0 where none was. */
  longestWriteMs: number;
  /** Writes that were under way meanwhile. */
  writes: number;
};

/** Around a cut-over: writes that a client begins as it holds are acknowledged some time after it releases. */
const beforeMs = 250;
const afterMs = 1_000;

/**
 * The pause that a cut-over made, by its journal and the history of those clients that write through the proxies; null
 * for one that never held.
 */
export const pauseOf = (journal: CutoverJournal, history: readonly Operation[]): WritePause | null => {
  const held = journal.steps.find(({ step }) => step === 'hold');
  const last = journal.steps.at(-1);
  if (held === undefined || last === undefined) return null;
  const fromMs = Date.parse(held.startedAt);
  const toMs = Date.parse(last.endedAt ?? last.startedAt);
  const writes = history.filter(
    ({ kind, outcome, endedAtMs }) =>
      kind === 'write' && outcome === 'ok' && endedAtMs! >= fromMs - beforeMs && endedAtMs! <= toMs + afterMs,
  );
  const ends = writes.map(({ endedAtMs }) => endedAtMs!).sort((one, other) => one - other);
  const gaps = ends.map((end, at) => end - (ends[at - 1] ?? end));
  const through = writes.filter(({ invokedAtMs, endedAtMs }) => invokedAtMs <= toMs && endedAtMs! >= fromMs);
  return {
    gapMs: Math.max(0, ...gaps),
    longestWriteMs: Math.max(0, ...through.map(({ invokedAtMs, endedAtMs }) => endedAtMs! - invokedAtMs)),
    writes: through.length,
  };
};

/** How long each step took, in the order in which they come; those without an end are left out. */
export const stepsOf = (journals: readonly CutoverJournal[]): { step: string; tookMs: number[] }[] =>
  cutoverSteps.map((step) => ({
    step,
    tookMs: journals
      .flatMap(({ steps }) => steps)
      .filter((one) => one.step === step && one.endedAt !== null)
      .map(({ startedAt, endedAt }) => Date.parse(endedAt!) - Date.parse(startedAt)),
  }));

/** The clocks of journals tell no less than this. */
const resolutionMs = 1;

/**
 * Who surely owned the writes when, by the journals of all cut-overs, the first one first. From the end of a commit until
 * the begin of the next one: whether a commit whose end was not noted took place, and when, is left open, and so is all
 * before the next one that was.
 */
export const ownershipOf = (journals: readonly CutoverJournal[]): Ownership[] => {
  const owned: Ownership[] = [];
  for (const { from, to, steps } of journals) {
    const commit = steps.find(({ step }) => step === 'commit');
    if (commit === undefined) continue;
    const last = owned.at(-1);
    const begunMs = Date.parse(commit.startedAt) - resolutionMs;
    if (last === undefined) owned.push({ side: from, fromMs: Number.NEGATIVE_INFINITY, untilMs: begunMs });
    else last.untilMs = Math.min(last.untilMs, begunMs);
    const released = steps.find(({ step }) => step === 'release');
    const endedAt = commit.endedAt !== null && released !== undefined ? commit.endedAt : null;
    owned.push({
      side: to,
      fromMs: endedAt === null ? Number.POSITIVE_INFINITY : Date.parse(endedAt) + resolutionMs,
      untilMs: Number.POSITIVE_INFINITY,
    });
  }
  return owned;
};
