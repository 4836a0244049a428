import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { isInstalled } from './proxy/contestants.ts';

/** Whether processes can be kept to cores of their own. */
export const canPin = (): boolean => isInstalled('taskset') && availableParallelism() >= 2;

export type Program = { command: string; arguments: string[]; environment: Record<string, string> };

/** Starts a program, on one core where it is given; what it says on standard error is passed on. */
export const startProcess = (
  { command, arguments: words, environment }: Program,
  core: number | null,
  output: 'ignore' | 'pipe' = 'ignore',
): ChildProcess => {
  const all = [command, ...words];
  const [first, ...rest] = core === null ? all : ['taskset', '-c', String(core), ...all];
  const { NODE_OPTIONS: _, ...env } = process.env;
  return spawn(first!, rest, { env: { ...env, ...environment }, stdio: ['ignore', output, 'inherit'] });
};

/** Asks a process to end, and kills it where it does not within five seconds. */
export const stopProcess = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const giveUp = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(giveUp);
};
