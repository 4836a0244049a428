import { z } from 'zod';

/**
 * A way for the mailbox to be wrong on purpose. `refuse-now`: 451 after the message; `refuse-for-good`: 550 to the recipient;
 * `hang`: no answer any more; `slow`: every answer late; `lose-answer`: takes the message and cuts the connection.
 */
export const faultSchema = z.strictObject({
  mode: z.enum(['none', 'refuse-now', 'refuse-for-good', 'hang', 'slow', 'lose-answer']),
  /** For so many messages; left out: until told otherwise. */
  times: z.int().min(1).max(1_000_000).optional(),
  /** Of `slow`. */
  delay_ms: z.int().min(1).max(60_000).default(200),
});
export type Fault = z.infer<typeof faultSchema>;

export const noFault: Fault = { mode: 'none', delay_ms: 200 };

/** What is wrong with the next message, and what is left of the fault after it. */
export function takeFault(fault: Fault): { now: Fault; left: Fault } {
  if (fault.mode === 'none' || fault.times === undefined) return { now: fault, left: fault };
  return { now: fault, left: fault.times > 1 ? { ...fault, times: fault.times - 1 } : noFault };
}
