import { type Backoff, nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import type { TogetherReport } from '../engine/apply/applier.ts';
import { type ApplyFault, applyFaultOf, type Trouble } from './faults.ts';

/** Changes of one part, as they came together. */
export type PartBatch = { queue: string; messages: readonly RowMessage[] };

/** What became of a batch: applied, with what is refused of it; or left, because the gathering was stopped first. */
export type PartResult = { kind: 'applied'; report: TogetherReport } | { kind: 'left' };

export type GatherOptions = {
  /** Applies batches in as few transactions as they fit into. */
  apply(batches: readonly PartBatch[]): Promise<TogetherReport>;
  /** Done now and then while nothing comes. */
  whenIdle(): Promise<unknown>;
  /** Each time that something could not be done; `alone` work has others going on beside it. */
  onFault(fault: ApplyFault): void;
  /** An error that only a new beginning can mend: nothing more is begun. */
  onEnd(fault: ApplyFault): void;
  onGathered?(batches: number): void;
  /** Rows that are applied together at most, a batch of more goes by itself; 500 unless told. */
  maxRows?: number;
  /** Appliers that work side by side, 1 unless told. */
  workers?: number;
  idleEveryMs?: number;
  backoff?: Backoff;
};

export type Gather = {
  /** Resolves when the batch has been applied, however long that takes, or when the gathering is stopped. Never throws. */
  add(batch: PartBatch): Promise<PartResult>;
  /** What keeps batches waiting at the moment. */
  trouble(): Trouble | undefined;
  /** Begins nothing more, and leaves what waits; resolves when what is under way has ended. */
  stop(): Promise<void>;
};

type Entry = PartBatch & {
  resolve(result: PartResult): void;
  /** It failed while it was with others, or by itself, and is tried by itself from now on. */
  alone: boolean;
  fault: ApplyFault | undefined;
  delayMs: number | undefined;
  dueMs: number;
};

const defaultBackoff: Backoff = { baseMs: 50, capMs: 5_000 };
const fenceCapMs = 200;

/**
 * Applies what several parts bring. While one transaction runs, what comes gathers, and goes together into the next: each
 * costs a commit, so that a slow disk makes transactions larger and not the parts wait for each other. Nothing is given
 * up: what fails is tried again, with all others when the target is away, by itself when only it may be concerned.
 */
export function createGather(options: GatherOptions): Gather {
  const { apply, whenIdle, onFault, onEnd, maxRows = 500, workers = 1, idleEveryMs = 5_000 } = options;
  const backoff = options.backoff ?? defaultBackoff;
  const stopping = new AbortController();
  let waiting: Entry[] = [];
  let wake = new AbortController();
  // While the target is away nobody asks it for anything.
  let away: { fault: ApplyFault; delayMs: number; untilMs: number } | undefined;
  let idleFault: ApplyFault | undefined;
  let lastBusyMs = performance.now();

  const running = Array.from({ length: workers }, () => run());

  function rouse(): void {
    wake.abort();
    wake = new AbortController();
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const now = performance.now();
      if (away !== undefined && now < away.untilMs) {
        await pause(away.untilMs - now, stopping.signal);
        continue;
      }
      const taken = take(now);
      if (taken.length > 0) {
        await work(taken);
        lastBusyMs = performance.now();
        continue;
      }
      const nextDueMs = Math.min(...waiting.map(({ dueMs }) => dueMs), lastBusyMs + idleEveryMs);
      if (nextDueMs <= now) {
        lastBusyMs = now;
        await beIdle();
        continue;
      }
      await pause(nextDueMs - now, wake.signal);
    }
  }

  /** The next batches that go together: the one that has waited longest, and what fits with it. */
  function take(now: number): Entry[] {
    const due = waiting.filter(({ dueMs }) => dueMs <= now);
    const [first] = due;
    if (first === undefined) return [];
    const taken = [first];
    let rows = first.messages.length;
    for (const entry of first.alone ? [] : due.slice(1)) {
      if (entry.alone || rows + entry.messages.length > maxRows) continue;
      rows += entry.messages.length;
      taken.push(entry);
    }
    waiting = waiting.filter((entry) => !taken.includes(entry));
    return taken;
  }

  async function work(taken: Entry[]): Promise<void> {
    options.onGathered?.(taken.length);
    try {
      const report = await apply(taken);
      away = undefined;
      for (const entry of taken) entry.resolve({ kind: 'applied', report });
    } catch (error) {
      const fault = applyFaultOf(error);
      if (fault.remedy === 'anew') {
        for (const entry of taken) entry.resolve({ kind: 'left' });
        onEnd(fault);
        return;
      }
      onFault(fault);
      if (fault.remedy === 'wait') putOff(fault);
      else for (const entry of taken) putAside(entry, fault, taken.length > 1);
      if (stopping.signal.aborted) for (const entry of taken) entry.resolve({ kind: 'left' });
      else waiting = [...taken, ...waiting];
    }
  }

  function putOff(fault: ApplyFault): void {
    const delayMs = nextBackoffMs(away?.delayMs ?? backoff.baseMs, backoff);
    away = { fault, delayMs, untilMs: performance.now() + delayMs };
  }

  function putAside(entry: Entry, fault: ApplyFault, withOthers: boolean): void {
    entry.alone = true;
    // With others it may not have been the one.
    if (withOthers) return;
    entry.fault = fault;
    // A fence is moved at any moment, and a cut-over waits for what waits here.
    const capMs = fault.cause === 'fence' ? Math.min(fenceCapMs, backoff.capMs) : backoff.capMs;
    entry.delayMs = nextBackoffMs(entry.delayMs ?? backoff.baseMs, { ...backoff, capMs });
    entry.dueMs = performance.now() + entry.delayMs;
  }

  async function beIdle(): Promise<void> {
    try {
      await whenIdle();
      away = undefined;
      idleFault = undefined;
    } catch (error) {
      const fault = applyFaultOf(error);
      if (fault.remedy === 'anew') return onEnd(fault);
      onFault(fault);
      if (fault.remedy === 'wait') putOff(fault);
      else idleFault = fault;
    }
  }

  return {
    add: ({ queue, messages }) =>
      new Promise((resolve) => {
        if (stopping.signal.aborted) return resolve({ kind: 'left' });
        const added: Entry = { queue, messages, resolve, alone: false, fault: undefined, delayMs: undefined, dueMs: 0 };
        waiting.push(added);
        rouse();
      }),
    trouble() {
      const fault = away?.fault ?? waiting.find((entry) => entry.fault !== undefined)?.fault ?? idleFault;
      return fault && { cause: fault.cause, message: fault.message };
    },
    async stop() {
      stopping.abort();
      for (const entry of waiting.splice(0)) entry.resolve({ kind: 'left' });
      rouse();
      await Promise.all(running);
    },
  };
}
