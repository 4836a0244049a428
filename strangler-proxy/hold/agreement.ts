import type { QuietHold } from './write-gate.ts';

/** A hold that every worker obeys with none of its own writes under way. */
export type Agreed = QuietHold & { workers: number };

export type Agreement = {
  /** A worker is about to take traffic: from now on it has a say. */
  counted(worker: number): void;
  gone(worker: number): void;
  /** What a worker says of a slice; null: it holds it no more, or not yet. */
  says(worker: number, slice: string, hold: QuietHold | null): void;
  agreed(): ReadonlyMap<string, Agreed>;
};

/** What all workers of a proxy say alike, a slice. `onChange` is called when that has changed. */
export const createAgreement = (onChange: (agreed: ReadonlyMap<string, Agreed>) => void): Agreement => {
  const workers = new Set<number>();
  const said = new Map<number, Map<string, QuietHold>>();
  let agreed: ReadonlyMap<string, Agreed> = new Map();

  const compare = (): void => {
    const next = agreementOf([...workers].map((worker) => said.get(worker)));
    if (isSame(next, agreed)) return;
    agreed = next;
    onChange(agreed);
  };

  return {
    counted(worker) {
      workers.add(worker);
      compare();
    },
    gone(worker) {
      workers.delete(worker);
      said.delete(worker);
      compare();
    },
    says(worker, slice, hold) {
      const holds = said.get(worker) ?? new Map<string, QuietHold>();
      said.set(worker, holds);
      if (hold === null) holds.delete(slice);
      else holds.set(slice, hold);
      compare();
    },
    agreed: () => agreed,
  };
};

type Said = ReadonlyMap<string, QuietHold> | undefined;

const agreementOf = ([first, ...others]: readonly Said[]): Map<string, Agreed> => {
  const agreed = new Map<string, Agreed>();
  for (const [slice, hold] of first ?? []) {
    const likewise = others.map((said) => said?.get(slice)).filter((one) => one?.changeId === hold.changeId);
    if (likewise.length < others.length) continue;
    const heldNow = likewise.reduce((sum, one) => sum + (one?.heldNow ?? 0), hold.heldNow);
    agreed.set(slice, { ...hold, heldNow, workers: others.length + 1 });
  }
  return agreed;
};

const isSame = (one: ReadonlyMap<string, Agreed>, other: ReadonlyMap<string, Agreed>): boolean =>
  one.size === other.size &&
  [...one].every(([slice, { changeId, workers }]) => {
    const there = other.get(slice);
    return there?.changeId === changeId && there.workers === workers;
  });
