import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { Operation } from './operation.ts';

export type Intent = Pick<Operation, 'client' | 'op' | 'kind' | 'key' | 'value'>;
export type Ending = Pick<Operation, 'outcome'> & Partial<Pick<Operation, 'value' | 'side' | 'epoch' | 'detail'>>;

/** A log of what clients do, in a file that says it before it is done and again when it has ended. */
export type HistoryLog = {
  /** Writes the intent down and returns what is to be called, once, with the outcome; it gives the time that has passed. */
  begin(intent: Intent): (ending: Ending) => number;
  /** Operations begun and not ended. */
  underWay(): number;
  close(): void;
};

type Line = ({ id: number; at: number } & Intent) | ({ end: number; at: number } & Ending);

/** Since 1970, by a clock that does not go back while the process lives. */
export const nowMs = (): number => performance.timeOrigin + performance.now();

/**
 * Begins a file anew. Each line is given to the system before the call returns, so that of a client that is killed
 * every operation is known that it can have sent.
 */
export const openHistoryLog = (file: string): HistoryLog => {
  const descriptor = openSync(file, 'w', 0o600);
  const write = (line: Line): void => void writeSync(descriptor, `${JSON.stringify(line)}\n`);
  let last = 0;
  let underWay = 0;
  return {
    begin(intent) {
      last += 1;
      const id = last;
      underWay += 1;
      const begun = nowMs();
      write({ id, at: begun, ...intent });
      return (ending) => {
        const at = nowMs();
        underWay -= 1;
        write({ end: id, at, ...ending });
        return at - begun;
      };
    },
    underWay: () => underWay,
    close: () => closeSync(descriptor),
  };
};

/** A history's file holds what no client can have written. */
export class HistoryFileError extends Error {
  override name = 'HistoryFileError';
}

/**
 * The operations of a file, in the order in which they were begun. One without an end is of unknown outcome; the last
 * line may be cut short.
 * @throws HistoryFileError naming the line
 */
export const readHistory = (file: string): Operation[] => parseHistory(readFileSync(file, 'utf8'), file);

export const parseHistory = (text: string, origin: string): Operation[] => {
  const operations = new Map<number, Operation>();
  // What comes after the last line feed was cut off while it was written.
  const lines = text.split('\n').slice(0, -1);
  for (const [at, line] of lines.entries()) {
    const read = JSON.parse(line) as Line;
    if ('id' in read) {
      const { at: invokedAtMs, ...intent } = read;
      const open = { invokedAtMs, endedAtMs: null, outcome: 'unknown', side: null, epoch: null } as const;
      operations.set(read.id, { ...intent, ...open });
      continue;
    }
    const { end, at: endedAtMs, ...ending } = read;
    const begun = operations.get(end);
    if (begun === undefined || begun.endedAtMs !== null)
      throw new HistoryFileError(
        `${origin}:${at + 1}: expected the end of an operation under way, found that of ${end}`,
      );
    operations.set(end, { ...begun, ...ending, endedAtMs });
  }
  return [...operations.values()];
};
