import type { Log } from './log.ts';
import { tracing } from './tracing/bridge.ts';

/**
 * In this order: nobody is sent here any more; nothing new is taken, what came is answered; what runs behind is
 * finished; connections are closed.
 */
export const stopPhases = ['deregister', 'drain', 'finish', 'close'] as const;
export type StopPhase = (typeof stopPhases)[number];

/** Called once. `signal` is aborted when the phase's time is up and nobody waits for the step any longer. */
export type StopStep = (context: { graceMs: number; signal: AbortSignal }) => unknown;

export type StopOutcome = {
  /** 0 when every step ended in time and without an error. */
  exitCode: 0 | 1;
  /** Names of steps that were not waited for. */
  cut: string[];
  /** Names of steps that failed. */
  failed: string[];
};

export type Lifecycle = {
  /** Adds a step to a phase. The steps of a phase run side by side. */
  onStop(phase: StopPhase, name: string, step: StopStep): void;
  /** Runs all phases once, whatever is thrown; a second call returns the first's outcome. Does not exit. */
  stop(reason: string): Promise<StopOutcome>;
  /**
   * SIGTERM and SIGINT stop and exit with the outcome's code, a second one exits 1 at once; an uncaught exception or
   * unhandled rejection is logged as fatal, stops and exits 1. Returns what takes the listeners away again.
   */
  installSignals(): () => void;
  /** True from the moment that stopping has begun. */
  draining(): boolean;
};

/** The parts of `process` that are used. */
export type SignalSource = Pick<NodeJS.EventEmitter, 'on' | 'off'>;

/** `graceMs` bounds each phase. */
export function createLifecycle({
  log,
  graceMs,
  exit = (code) => process.exit(code),
  signals = process,
}: {
  log: Log;
  graceMs: number;
  exit?: (code: number) => void;
  signals?: SignalSource;
}): Lifecycle {
  const steps: { phase: StopPhase; name: string; step: StopStep }[] = [];
  let stopping: Promise<StopOutcome> | undefined;

  const runPhase = async (phase: StopPhase, outcome: StopOutcome): Promise<void> => {
    const now = steps.filter((step) => step.phase === phase);
    if (now.length === 0) return;
    const timeUp = new AbortController();
    const running = new Set(now.map(({ name }) => name));
    const all = Promise.all(
      now.map(async ({ name, step }) => {
        try {
          await step({ graceMs, signal: timeUp.signal });
        } catch (error) {
          if (timeUp.signal.aborted) return;
          outcome.failed.push(name);
          log.error({ err: error, phase, step: name }, 'a step of stopping failed');
        } finally {
          running.delete(name);
        }
      }),
    );
    if ((await settledWithin(all, graceMs)) === 'in time') return;
    outcome.cut.push(...running);
    log.warn({ phase, steps: [...running], graceMs }, 'steps of stopping were cut at the end of the grace time');
    timeUp.abort();
  };

  const runAll = async (reason: string): Promise<StopOutcome> => {
    const outcome: StopOutcome = { exitCode: 0, cut: [], failed: [] };
    log.info({ reason }, 'stopping');
    for (const phase of stopPhases) await runPhase(phase, outcome);
    await tracing()?.flush();
    if (outcome.cut.length + outcome.failed.length > 0) outcome.exitCode = 1;
    log.info({ reason, ...outcome }, 'stopped');
    return outcome;
  };

  const stop = (reason: string): Promise<StopOutcome> => {
    stopping ??= runAll(reason);
    return stopping;
  };

  const installSignals = (): (() => void) => {
    let fatal = false;
    let signalled = false;
    const onSignal = (signal: string) => {
      if (signalled) {
        log.warn({ signal }, 'asked to stop a second time: exiting at once');
        exit(1);
        return;
      }
      signalled = true;
      void stop(signal).then(({ exitCode }) => exit(fatal ? 1 : exitCode));
    };
    const onFatal = (kind: string) => (error: unknown) => {
      log.fatal({ err: error }, kind);
      if (fatal) return;
      fatal = true;
      void stop(kind).then(() => exit(1));
    };
    const listeners: [string, (...args: never[]) => void][] = [
      ['SIGTERM', () => onSignal('SIGTERM')],
      ['SIGINT', () => onSignal('SIGINT')],
      ['uncaughtException', onFatal('uncaught exception')],
      ['unhandledRejection', onFatal('unhandled rejection')],
    ];
    for (const [event, listener] of listeners) signals.on(event, listener as () => void);
    return () => {
      for (const [event, listener] of listeners) signals.off(event, listener as () => void);
    };
  };

  return {
    onStop: (phase, name, step) => {
      steps.push({ phase, name, step });
    },
    stop,
    installSignals,
    draining: () => stopping !== undefined,
  };
}

async function settledWithin(work: Promise<unknown>, ms: number): Promise<'in time' | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, ms, 'late');
  });
  try {
    return await Promise.race([work.then(() => 'in time' as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
