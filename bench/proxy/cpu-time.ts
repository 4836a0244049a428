import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second in /proc, the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

/**
 * Processor time, user and system, that a process and all its descendants have used so far, in microseconds; null
 * where the system does not tell (no /proc). What else runs on the machine hardly moves it, unlike requests a second.
 */
export const cpuMicrosOf = (pid: number): number | null => {
  const all = readAll();
  if (all === null) return null;
  let ticks = 0;
  const visit = (one: number): void => {
    ticks += all.get(one)?.ticks ?? 0;
    for (const [child, { parent }] of all) if (parent === one) visit(child);
  };
  visit(pid);
  return (ticks / ticksPerSecond) * 1e6;
};

const readAll = (): Map<number, { parent: number; ticks: number }> | null => {
  try {
    const processes = new Map<number, { parent: number; ticks: number }>();
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const read = readStat(name);
      if (read !== null) processes.set(Number(name), read);
    }
    return processes;
  } catch {
    return null;
  }
};

const readStat = (pid: string): { parent: number; ticks: number } | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold blanks and parentheses; what follows the last one is columns 3 and on (proc(5)).
    const columns = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(columns[1]), ticks: Number(columns[11]) + Number(columns[12]) };
  } catch {
    return null;
  }
};
