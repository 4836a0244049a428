import type { EjectionPolicy } from './policy.ts';
import { emptyWindow, failsTooOften, type OutcomeWindow, recordOutcome } from './window.ts';

/**
 * Passive ejection (outlier detection): an instance that fails is left out for a while, then tried by one request.
 * The generation grows with each change of kind, and with each probe that takes another's place; a verdict on a loan of an older generation says nothing about the
 * instance as it is now, and is not heard: the fifty requests that were under way when it died eject it once, not
 * seventeen times, and their late errors do not count against the process that was started in its place.
 */
export type EjectionState =
  | {
      kind: 'healthy';
      generation: number;
      sinceMs: number;
      failuresInARow: number;
      window: OutcomeWindow;
      /** Ejections before this spell of health, forgiven when it has lasted long enough. */
      ejections: number;
    }
  | { kind: 'ejected'; generation: number; untilMs: number; ejections: number }
  | { kind: 'probing'; generation: number; sinceMs: number; ejections: number };

export type EjectionEvent =
  /** A request was sent to it. */
  | { kind: 'lent' }
  /** A request lent in `generation` ended so; `neutral` tells nothing of the instance (its client went away). */
  | {
      kind: 'ended';
      generation: number;
      verdict: 'success' | 'failure' | 'neutral';
      /** False where nothing would be left to send requests to. */
      mayEject: boolean;
      /** In [0, 1): how much of the jitter this ejection gets. */
      jitter: number;
    };

export function newlyHealthy(nowMs: number, policy: EjectionPolicy): EjectionState {
  return healthy(0, 0, nowMs, policy);
}

/** Whether the next request may be its probe: its time has come, and no other probe is under way. */
export function dueForProbe(state: EjectionState, nowMs: number, policy: EjectionPolicy): boolean {
  if (state.kind === 'ejected') return nowMs >= state.untilMs;
  return state.kind === 'probing' && nowMs - state.sinceMs >= policy.probePatienceMs;
}

/** The state after an event at `nowMs`. */
export function advanceEjection(
  state: EjectionState,
  event: EjectionEvent,
  nowMs: number,
  policy: EjectionPolicy,
): EjectionState {
  if (event.kind === 'lent') {
    if (!dueForProbe(state, nowMs, policy)) return state;
    // In the place of a probe that has not ended for long: what that one comes to is not waited for any more.
    const generation = state.kind === 'probing' ? state.generation + 1 : state.generation;
    return { kind: 'probing', generation, sinceMs: nowMs, ejections: state.ejections };
  }
  if (event.generation !== state.generation) return state;
  if (state.kind === 'healthy') return afterHealthyAttempt(state, event, nowMs, policy);

  switch (event.verdict) {
    case 'success':
      return healthy(state.generation + 1, state.ejections, nowMs, policy);
    case 'failure':
      // Lent although ejected, because nothing else was left: it serves the rest of its time.
      if (state.kind === 'ejected') return state;
      return ejected(state.generation + 1, state.ejections + 1, event.jitter, nowMs, policy);
    case 'neutral':
      // Nothing was learnt: the next request may probe at once.
      if (state.kind === 'ejected') return state;
      return { kind: 'ejected', generation: state.generation, untilMs: nowMs, ejections: state.ejections };
  }
}

function afterHealthyAttempt(
  state: EjectionState & { kind: 'healthy' },
  event: EjectionEvent & { kind: 'ended' },
  nowMs: number,
  policy: EjectionPolicy,
): EjectionState {
  if (event.verdict === 'neutral') return state;
  const window = recordOutcome(state.window, event.verdict, nowMs, policy.windowMs);
  const failuresInARow = event.verdict === 'failure' ? state.failuresInARow + 1 : 0;
  const bad =
    event.verdict === 'failure' &&
    (failuresInARow >= policy.consecutiveFailures || failsTooOften(window, nowMs, policy));
  if (!bad || !event.mayEject) return { ...state, failuresInARow, window };

  const forgiven = nowMs - state.sinceMs >= policy.forgiveAfterMs;
  return ejected(state.generation + 1, forgiven ? 1 : state.ejections + 1, event.jitter, nowMs, policy);
}

function healthy(generation: number, ejections: number, nowMs: number, policy: EjectionPolicy): EjectionState {
  const window = emptyWindow(nowMs, policy.windowMs);
  return { kind: 'healthy', generation, sinceMs: nowMs, failuresInARow: 0, window, ejections };
}

function ejected(
  generation: number,
  ejections: number,
  jitter: number,
  nowMs: number,
  policy: EjectionPolicy,
): EjectionState {
  const fullMs = Math.min(policy.baseMs * ejections, policy.maxMs);
  return { kind: 'ejected', generation, untilMs: nowMs + fullMs * (1 - policy.jitterShare * jitter), ejections };
}
