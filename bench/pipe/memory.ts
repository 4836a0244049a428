import { residentBytes } from './worker.ts';

/** Resident memory of a process over a while, in whole MiB; nulls where the system does not tell. */
export type MemoryReport = { startMiB: number | null; maxMiB: number | null; endMiB: number | null };

export type MemoryWatch = { report(): MemoryReport };

const everyMs = 200;

/** Looks at a process's memory until it is asked for the report. */
export const watchMemory = (pid: number): MemoryWatch => {
  const start = residentBytes(pid);
  let max = start;
  let last = start;
  const timer = setInterval(() => {
    last = residentBytes(pid) ?? last;
    if (last !== null && (max === null || last > max)) max = last;
  }, everyMs);
  timer.unref();
  return {
    report() {
      clearInterval(timer);
      return { startMiB: mebibytes(start), maxMiB: mebibytes(max), endMiB: mebibytes(last) };
    },
  };
};

const mebibytes = (bytes: number | null): number | null => (bytes === null ? null : Math.round(bytes / 1024 / 1024));
