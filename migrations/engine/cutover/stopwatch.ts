import type { JournalStep } from '@strangler/platform/contracts/cutover-journal.ts';
import type { CutoverEvent, TimelineStep } from './cutover-work.ts';

/** Takes the time of steps that follow each other, by a clock that does not jump. */
export class Stopwatch {
  readonly timeline: TimelineStep[] = [];
  readonly #tell: (event: CutoverEvent) => void;
  #current: { step: JournalStep; startedMs: number } | null = null;

  constructor(tell: (event: CutoverEvent) => void) {
    this.#tell = tell;
  }

  /** Ends the step under way, if there is one. */
  begin(step: JournalStep): void {
    this.end(null);
    this.#current = { step, startedMs: performance.now() };
    this.#tell({ kind: 'cutover', step, state: 'begun' });
  }

  end(waitedFor: string | null): void {
    if (this.#current === null) return;
    const { step, startedMs } = this.#current;
    const ms = Math.round((performance.now() - startedMs) * 10) / 10;
    this.#current = null;
    this.timeline.push({ step, ms, waitedFor });
    this.#tell({ kind: 'cutover', step, state: 'ended', ms, waitedFor });
  }
}
