/** The bytes that all copies together may take in one worker. */
export type ByteBudget = {
  /** False where they are not to be had; then nothing was taken. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
  taken(): number;
};

export const createByteBudget = (limitBytes: number): ByteBudget => {
  let taken = 0;
  return {
    take(bytes) {
      if (taken + bytes > limitBytes) return false;
      taken += bytes;
      return true;
    },
    giveBack(bytes) {
      taken -= bytes;
    },
    taken: () => taken,
  };
};
