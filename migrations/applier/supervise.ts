import { type Backoff, nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Direction } from '../engine/pipe/direction.ts';
import { Hindrance, NotArmed, type Trouble } from './faults.ts';
import type { ApplierState } from './metrics.ts';
import type { SliceApplier } from './slice-applier.ts';

/**
 * Stages in which a pipe flows. Forward it does so at `writes`, too: reference tables stay the monolith's, and a way back
 * that nobody has kept running could not be taken at once; and at `complete` for the reference tables alone. In reverse it is
 * armed at `reads`, before writes move, and at `complete` where that is being undone.
 */
export const applyingStages: Readonly<Record<Direction, readonly Stage[]>> = {
  forward: ['sync', 'shadow', 'canary', 'reads', 'writes', 'complete'],
  reverse: ['reads', 'writes', 'complete'],
};

/** In which a pipe need not be there yet. */
const unarmedStages: Readonly<Record<Direction, readonly Stage[]>> = {
  forward: ['complete'],
  reverse: ['reads', 'complete'],
};

/** How often a pipe is looked for that need not be there. */
const lookEveryMs = 1_000;

export type Supervisor = {
  state(): ApplierState;
  /** Why it is not at what the stage asks for; undefined when it is. */
  trouble(): Trouble | undefined;
  /** The stage is another, or may be. */
  look(): void;
  stop(graceMs: number): Promise<void>;
};

export type SupervisorOptions = {
  direction: Direction;
  /** `unknown` before anything was heard of the flags; undefined where there are none of this slice. */
  stage(): Stage | 'unknown' | undefined;
  /** Looks at both ends and begins. @throws what stands in the way */
  begin(): Promise<SliceApplier>;
  log: Log;
  /** How long what is under way may take when the stage ends. */
  graceMs: number;
  backoff?: Backoff;
  /** How often a pipe is looked for that need not be there yet, 1 s unless told. */
  lookEveryMs?: number;
};

const defaultBackoff: Backoff = { baseMs: 250, capMs: 5_000 };
/** One that ends sooner after it began has not mended anything by beginning. */
const lastedMs = 30_000;

/** Applies while the slice's stage asks for it, beginning anew whenever that is needed. */
export function superviseApplier({ direction, stage, begin, log, graceMs, ...options }: SupervisorOptions): Supervisor {
  const backoff = options.backoff ?? defaultBackoff;
  const stopping = new AbortController();
  let changed = new AbortController();
  let state: ApplierState = 'idle';
  let applier: SliceApplier | undefined;
  let hindered: Trouble | undefined;
  let finalGraceMs = graceMs;

  const isAt = (stages: readonly Stage[]): boolean => {
    const now = stage();
    return now !== 'unknown' && now !== undefined && stages.includes(now);
  };
  /** At its end a slice's forward pipe has other tables than before. */
  const flowingPart = (): 'all' | 'references' =>
    direction === 'forward' && isAt(['complete']) ? 'references' : 'all';
  const wanted = (): boolean => !stopping.signal.aborted && isAt(applyingStages[direction]);

  const running = run();

  async function run(): Promise<void> {
    let delayMs: number | undefined;
    while (!stopping.signal.aborted) {
      if (!wanted()) {
        state = 'idle';
        hindered = undefined;
        delayMs = undefined;
        await pause(60_000, changed.signal);
        continue;
      }
      // What need not be there is looked for idly.
      if (state !== 'idle' || !isAt(unarmedStages[direction])) state = 'preparing';
      const beganMs = performance.now();
      const why = await applyOnce();
      if (why === undefined) continue;
      if (why === 'not armed') {
        state = 'idle';
        hindered = undefined;
        delayMs = undefined;
        await pause(options.lookEveryMs ?? lookEveryMs, changed.signal);
        continue;
      }
      state = 'preparing';
      if (hindered?.message !== why.message) {
        log.warn({ cause: why.cause, why: why.message }, 'changes are not applied; trying again');
      }
      hindered = why;
      if (performance.now() - beganMs > lastedMs) delayMs = undefined;
      delayMs = nextBackoffMs(delayMs ?? backoff.baseMs, backoff);
      await pause(delayMs, changed.signal);
    }
  }

  /** Applies as long as it goes well and is asked for; gives what stood in the way, undefined when it is not asked for any more. */
  async function applyOnce(): Promise<Trouble | 'not armed' | undefined> {
    let begun: SliceApplier;
    try {
      begun = await begin();
    } catch (error) {
      if (error instanceof NotArmed && isAt(unarmedStages[direction])) return 'not armed';
      const message = error instanceof Error ? error.message : String(error);
      return { cause: error instanceof Hindrance ? error.trouble : 'other', message };
    }
    applier = begun;
    const part = flowingPart();
    state = 'applying';
    hindered = undefined;
    log.info({ stage: stage() }, 'applying');
    let ending: Trouble | undefined;
    void begun.ended.then((why) => {
      ending = why;
      look();
    });
    while (wanted() && flowingPart() === part && ending === undefined) await pause(60_000, changed.signal);
    state = wanted() ? 'preparing' : 'idle';
    await begun.stop(finalGraceMs);
    applier = undefined;
    if (ending !== undefined && wanted()) return ending;
    log.info({ stage: stage() }, 'applying no more');
    return undefined;
  }

  function look(): void {
    const before = changed;
    changed = new AbortController();
    before.abort();
  }

  return {
    state: () => state,
    trouble() {
      if (stage() === 'unknown') return { cause: 'flags', message: 'nothing is known of the slice’s stage yet' };
      if (state === 'applying') return applier?.trouble();
      if (state === 'preparing') return hindered ?? { cause: 'preparing', message: 'looking at both ends' };
      return undefined;
    },
    look,
    async stop(within) {
      finalGraceMs = within;
      stopping.abort();
      look();
      await running;
    },
  };
}
