import { loadApiDescription } from '@strangler/migrations/openapi/load-description.ts';
import { type ApiOperation, describes } from '@strangler/migrations/openapi/operation.ts';
import type { Running } from '@strangler/migrations/parity/fuzz/run-plan.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';

/** The shop and one service, ready to be told apart. */
export type SlicePair = {
  slice: string;
  running: Running;
  /** What a shell needs to fuzz them itself; null where requests are changed on their way, so that none can. */
  addresses: PairAddresses | null;
  /** Changes a row of the service's behind its back, until the next reset. */
  spoil(): Promise<void>;
  stop(): Promise<void>;
};

export type PairAddresses = { left: string; right: string; leftDatabase: string; rightDatabase: string };

export const slicesFolder = `${repositoryRoot}/migrations/slices`;

export async function readSlice(name: string): Promise<Slice> {
  const found = (await readSliceDirectory(slicesFolder)).find(({ slice }) => slice === name);
  if (found === undefined) throw new Error(`${slicesFolder}: expected a slice ${name}, found none`);
  return found;
}

/** What the service's description says of the slice's routes. */
export async function operationsOf(slice: Slice): Promise<ApiOperation[]> {
  const described = await loadApiDescription(`${repositoryRoot}/extracted/${slice.service}/openapi.yaml`);
  return described.filter((operation) => slice.routes.some((route) => describes(operation, route)));
}

/** Closes in the order in which things were not opened. */
export type Closers = { add(close: () => unknown): void; close(): Promise<void> };

export function createClosers(): Closers {
  const closers: (() => unknown)[] = [];
  return {
    add: (close) => void closers.push(close),
    close: async () => {
      for (const close of closers.splice(0).reverse()) await close();
    },
  };
}
