import { z } from 'zod';
import { stages } from './flag-document.ts';

/**
 * A stage change that somebody asks for at a dashboard, and a process of the data mover carries out, because only that has
 * the databases' credentials. One order a slice at a time: it is put there by compare-and-swap where none stands or the last one
 * has ended, and taken by compare-and-swap, so that nobody carries it out twice.
 */
export const orderKeys = (root = 'strangler') => ({
  all: `${root}/orders/`,
  slice: (slice: string): string => `${root}/orders/${slice}`,
});

/** An order that nobody has begun by then is not begun any more: who gave it no longer looks on. */
export const orderTakenWithinMs = 15_000;

export const sliceOrderSchema = z.object({
  id: z.string().min(1).max(64),
  slice: z.string().min(1).max(64),
  what: z.enum(['advance', 'rollback']),
  /** Where the slice stood when it was asked for; at another stage it is refused. */
  from: z.enum(stages),
  to: z.enum(stages),
  by: z.string().min(1).max(200),
  reason: z.string().min(1).max(1000),
  at: z.iso.datetime(),
  /** `asked`: waits for somebody who carries it out. */
  state: z.enum(['asked', 'running', 'done', 'refused', 'failed']),
  /** What came of it, newest line last. */
  lines: z.array(z.string().max(2_000)).max(50),
  /** When `state` was last written. */
  stateAt: z.iso.datetime(),
});
export type SliceOrder = z.infer<typeof sliceOrderSchema>;

/** Whoever carries an order out says so again and again; after such a silence it has died, and left the slice resumable. */
export const orderSilentMs = 30_000;

/** Whether another order may take its place. */
export const isOver = (order: SliceOrder, nowMs: number): boolean => {
  if (order.state === 'asked') return nowMs - Date.parse(order.at) > orderTakenWithinMs;
  return order.state !== 'running' || nowMs - Date.parse(order.stateAt) > orderSilentMs;
};

/** Null for text that is no order. */
export const parseSliceOrder = (text: string): SliceOrder | null => {
  try {
    return sliceOrderSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
};
