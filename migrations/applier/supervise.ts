import { type Backoff, nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { Log } from '@strangler/platform/log.ts';
import { Hindrance, type Trouble } from './faults.ts';
import type { ApplierState } from './metrics.ts';
import type { SliceApplier } from './slice-applier.ts';

/** Stages in which the service's database follows the monolith's. */
export const applyingStages: readonly Stage[] = ['sync', 'shadow', 'canary', 'reads'];

export type Supervisor = {
  state(): ApplierState;
  /** Why it is not at what the stage asks for; undefined when it is. */
  trouble(): Trouble | undefined;
  /** The stage is another, or may be. */
  look(): void;
  stop(graceMs: number): Promise<void>;
};

export type SupervisorOptions = {
  /** `unknown` before anything was heard of the flags; undefined where there are none of this slice. */
  stage(): Stage | 'unknown' | undefined;
  /** Looks at both ends and begins. @throws what stands in the way */
  begin(): Promise<SliceApplier>;
  log: Log;
  /** How long what is under way may take when the stage ends. */
  graceMs: number;
  backoff?: Backoff;
};

const defaultBackoff: Backoff = { baseMs: 250, capMs: 5_000 };
/** One that ends sooner after it began has not mended anything by beginning. */
const lastedMs = 30_000;

/** Applies while the slice's stage asks for it, beginning anew whenever that is needed. */
export function superviseApplier({ stage, begin, log, graceMs, ...options }: SupervisorOptions): Supervisor {
  const backoff = options.backoff ?? defaultBackoff;
  const stopping = new AbortController();
  let changed = new AbortController();
  let state: ApplierState = 'idle';
  let applier: SliceApplier | undefined;
  let hindered: Trouble | undefined;
  let finalGraceMs = graceMs;

  const wanted = (): boolean => {
    const now = stage();
    return !stopping.signal.aborted && now !== 'unknown' && now !== undefined && applyingStages.includes(now);
  };

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
      state = 'preparing';
      const beganMs = performance.now();
      const why = await applyOnce();
      if (why === undefined) continue;
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
  async function applyOnce(): Promise<Trouble | undefined> {
    let begun: SliceApplier;
    try {
      begun = await begin();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { cause: error instanceof Hindrance ? error.trouble : 'other', message };
    }
    applier = begun;
    state = 'applying';
    hindered = undefined;
    log.info({ stage: stage() }, 'applying');
    let ending: Trouble | undefined;
    void begun.ended.then((why) => {
      ending = why;
      look();
    });
    while (wanted() && ending === undefined) await pause(60_000, changed.signal);
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
