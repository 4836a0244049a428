/** What a demo says while it goes on; nothing of it goes to standard output where a machine reads the result there. */
export type Progress = { say(line: string): void };

/** Lines with the seconds since the start. */
export const createProgress = (write: (text: string) => void): Progress => {
  const startedAt = performance.now();
  return {
    say: (line) => write(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}\n`),
  };
};
