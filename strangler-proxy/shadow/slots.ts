/** So many at a time, the others in line. */
export type Slots = {
  /** Runs it when there is a slot. */
  run<T>(work: () => Promise<T>): Promise<T>;
  taken(): number;
  waiting(): number;
};

export const createSlots = (count: number): Slots => {
  const line: (() => void)[] = [];
  let taken = 0;
  return {
    async run(work) {
      if (taken < count) taken += 1;
      else await new Promise<void>((go) => line.push(go));
      try {
        return await work();
      } finally {
        // A slot that goes to the next in line stays taken.
        const next = line.shift();
        if (next === undefined) taken -= 1;
        else next();
      }
    },
    taken: () => taken,
    waiting: () => line.length,
  };
};
