/** When the provider is asked about what is open. */
export type CheckTimings = {
  /** How long after its last change an open payment is first asked about, and the first wait between two questions. */
  firstCheckMs: number;
  /** The longest wait between two questions about one payment. */
  longestCheckMs: number;
  /** How long whoever asks about a payment has it alone: longer than its calls to the provider can take. */
  leaseMs: number;
  /** After this time a charge that the provider has never heard of is taken to have been lost on the way to it. */
  abandonAfterMs: number;
};

/** The wait before the next question about a payment that was asked about `checks` times. */
export function waitMs(checks: number, { firstCheckMs, longestCheckMs, leaseMs }: CheckTimings): number {
  return Math.max(leaseMs, Math.min(longestCheckMs, firstCheckMs * 2 ** Math.min(checks, 30)));
}
