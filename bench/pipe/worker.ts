import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A script of this folder in a process of its own, which does one thing at a time. */
export type Worker = {
  pid: number;
  /** @throws what the worker threw, or that it ended. */
  ask<Answer>(question: unknown): Promise<Answer>;
  stop(): Promise<void>;
};

export const startWorker = async (script: string, ...args: readonly string[]): Promise<Worker> => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(join(import.meta.dirname, script), [...args], {
    env,
    execArgv: profiled(script),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${script}: expected a process, found none`);
  await answerOf(child, script);
  return {
    pid,
    async ask<Answer>(question: unknown) {
      const answer = answerOf(child, script);
      child.send(question as object);
      return (await answer) as Answer;
    },
    stop: () => stopChild(child),
  };
};

/** The other end: says that it is ready, and answers until it is told to stop. */
export const answerQuestions = <Question>(
  answer: (question: Question) => Promise<unknown>,
  close: () => Promise<void>,
): void => {
  process.on('message', (question: Question) => {
    answer(question).then(
      (value) => process.send?.({ value }),
      (error: Error) => process.send?.({ error: error.stack ?? error.message }),
    );
  });
  process.once('SIGTERM', () => process.disconnect());
  // Told to stop, or whoever asked has gone.
  process.once('disconnect', () => void close());
  process.send?.({ value: 'ready' });
};

const answerOf = async (child: ChildProcess, script: string): Promise<unknown> => {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error(`${script}: expected an answer, found that the process ended with ${child.exitCode}`);
  });
  try {
    const [message] = await Promise.race([once(child, 'message', { signal: ended.signal }), exit]);
    if ('error' in message) throw new Error(`${script}: ${message.error}`);
    return message.value;
  } finally {
    ended.abort();
    exit.catch(() => {});
  }
};

export const stopChild = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const giveUp = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(giveUp);
};

/** With BENCH_PROFILES set to a folder every process leaves a processor profile there. */
export const profiled = (script: string): string[] =>
  process.env.BENCH_PROFILES
    ? ['--cpu-prof', `--cpu-prof-dir=${join(process.env.BENCH_PROFILES, script.replace(/\W+/g, '-'))}`]
    : [];

/** Resident memory of a process in bytes; null where the system does not tell (no /proc) or the process has ended. */
export const residentBytes = (pid: number): number | null => {
  try {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return found === null ? null : Number(found[1]) * 1024;
  } catch {
    return null;
  }
};
