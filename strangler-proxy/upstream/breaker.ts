import type { BreakerPolicy } from './policy.ts';
import { emptyWindow, failsTooOften, type OutcomeWindow, recordOutcome } from './window.ts';

/**
 * The circuit breaker of one upstream (M. Nygard, "Release It!"): closed, open, and half-open for a few trials.
 *
 * A state machine of its own and not opossum, whose cost would have been no obstacle (0.3 µs a call): opossum 9 knows
 * only success and failure, so a client that goes away during the trial closes the circuit, and so does a request
 * sent before the circuit opened that is answered after it turned half-open. Here the first is neutral, and the
 * second belongs to an older generation and is not heard.
 */
export type BreakerState =
  | { kind: 'closed'; generation: number; window: OutcomeWindow }
  | { kind: 'open'; generation: number; untilMs: number; openings: number }
  | {
      kind: 'half-open';
      generation: number;
      /** Trials under way. */
      trials: number;
      lastTrialMs: number;
      successes: number;
      openings: number;
    };

export function closedBreaker(nowMs: number, policy: BreakerPolicy): BreakerState {
  return closed(0, nowMs, policy);
}

/** Whether a request may pass now. */
export function admits(state: BreakerState, nowMs: number, policy: BreakerPolicy): boolean {
  switch (state.kind) {
    case 'closed':
      return true;
    case 'open':
      return nowMs >= state.untilMs;
    case 'half-open':
      return state.trials < policy.trials || nowMs - state.lastTrialMs >= policy.trialPatienceMs;
  }
}

/** The state after a request that `admits` let pass has set out; the first one after an open circuit's time half-opens it. */
export function passBreaker(state: BreakerState, nowMs: number): BreakerState {
  switch (state.kind) {
    case 'closed':
      return state;
    case 'open':
      return {
        kind: 'half-open',
        generation: state.generation + 1,
        trials: 1,
        lastTrialMs: nowMs,
        successes: 0,
        openings: state.openings,
      };
    case 'half-open':
      return { ...state, trials: state.trials + 1, lastTrialMs: nowMs };
  }
}

/** The state after a request that set out in `generation` has ended; `neutral` where its client went away. */
export function settleBreaker(
  state: BreakerState,
  ended: { generation: number; verdict: 'success' | 'failure' | 'neutral' },
  nowMs: number,
  policy: BreakerPolicy,
): BreakerState {
  if (ended.generation !== state.generation) return state;
  switch (state.kind) {
    case 'closed': {
      if (ended.verdict === 'neutral') return state;
      const window = recordOutcome(state.window, ended.verdict, nowMs, policy.windowMs);
      const tooMany = ended.verdict === 'failure' && failsTooOften(window, nowMs, policy);
      return tooMany ? open(state.generation + 1, 1, nowMs, policy) : { ...state, window };
    }
    case 'open':
      return state;
    case 'half-open': {
      if (ended.verdict === 'failure') return open(state.generation + 1, state.openings + 1, nowMs, policy);
      const successes = state.successes + (ended.verdict === 'success' ? 1 : 0);
      if (successes >= policy.successesToClose) return closed(state.generation + 1, nowMs, policy);
      return { ...state, successes, trials: Math.max(0, state.trials - 1) };
    }
  }
}

function closed(generation: number, nowMs: number, policy: BreakerPolicy): BreakerState {
  return { kind: 'closed', generation, window: emptyWindow(nowMs, policy.windowMs) };
}

function open(generation: number, openings: number, nowMs: number, policy: BreakerPolicy): BreakerState {
  return { kind: 'open', generation, untilMs: nowMs + Math.min(policy.openMs * openings, policy.maxOpenMs), openings };
}
