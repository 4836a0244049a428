import { type Command, type Happening, plan, type SagaState, type Timings } from './saga-state.ts';

/** What is left to do about a saga whose orders are another's: a step, a fact, a wait, or nothing any more. */
export type Leaving =
  | { kind: 'do'; command: Command }
  | { kind: 'know'; happening: Happening }
  | { kind: 'wait'; untilMs: number }
  /** The order is its new owner's from here on. */
  | { kind: 'left' }
  | { kind: 'ended' };

/**
 * How a saga ends whose orders have moved to another, who may write to them and this service may not. An order that stands is left to
 * that one in the state in which it would have it: its stock taken, its payment asked for or not, as every order there has for a moment.
 * Of what has come to nothing all is undone that is not the order.
 */
export function planToLeave(state: SagaState, nowMs: number, timings: Timings): Leaving {
  const { order, stock, goal } = state;
  if (order === 'none' && goal === 'sell') return { kind: 'know', happening: { kind: 'card lost' } };
  const isPaid = order === 'paid' && goal === 'sell' && stock === 'sold';
  if (order === 'none' || order === 'cancelled' || isPaid) return plan(state, nowMs, timings);
  // Its owner finds out about the payment, and sees for himself that there is too little stock.
  if (stock === 'sold' || stock === 'short' || stock === 'back') return { kind: 'left' };
  if (goal === 'undo') return { kind: 'know', happening: { kind: 'order stands' } };
  if (nowMs < state.notBeforeMs) return { kind: 'wait', untilMs: state.notBeforeMs };
  return { kind: 'do', command: stock === 'asked' ? 'reserve' : 'confirm stock' };
}
