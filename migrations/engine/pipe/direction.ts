import { reverseSuffix, type Slice } from '@strangler/platform/contracts/slice-file.ts';

/** Which way rows flow: `forward` from the monolith's database to the service's, `reverse` the other way. */
export type Direction = 'forward' | 'reverse';

export const directions: readonly Direction[] = ['forward', 'reverse'];

/**
 * Names a slice's pipe in one direction: its topics, queues, positions and capture. Both names are apart, so that nothing
 * of one pipe reaches the other. Fences, flags and locks carry the slice's own name, whichever way its rows flow.
 */
export const pipeNameOf = (slice: string, direction: Direction): string =>
  direction === 'forward' ? slice : `${slice}${reverseSuffix}`;

/** The slice whose rows a pipe of this name moves. */
export const sliceOfPipe = (pipe: string): string =>
  pipe.endsWith(reverseSuffix) ? pipe.slice(0, -reverseSuffix.length) : pipe;

/**
 * What is left of a slice's forward pipe when its own tables are the service's alone: those that stay the monolith's and are
 * copied for reading. Null where there are none.
 */
export const referencePart = (slice: Slice): Slice | null => {
  const tables = slice.tables.filter(({ reference }) => reference);
  return tables.length === 0 ? null : { ...slice, tables };
};

export const opposite = (direction: Direction): Direction => (direction === 'forward' ? 'reverse' : 'forward');
