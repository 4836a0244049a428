export type PaymentTimings = {
  /** How long the provider may take to answer. */
  chargeTimeoutMs: number;
  /** How long after its making an open payment is first asked about, and the first wait between two such questions. */
  firstCheckMs: number;
  /** The longest wait between two questions about one payment. */
  longestCheckMs: number;
  /** How often the reconciler looks for payments to ask about. */
  reconcileEveryMs: number;
  /** After this time a charge that the provider has never heard of is taken to have been lost on the way to it. */
  abandonAfterMs: number;
};

export const defaultPaymentTimings: PaymentTimings = {
  chargeTimeoutMs: 5_000,
  firstCheckMs: 15_000,
  longestCheckMs: 3_600_000,
  reconcileEveryMs: 5_000,
  abandonAfterMs: 900_000,
};
