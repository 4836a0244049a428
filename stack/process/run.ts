import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../addresses.ts';
import { findByEnvironment, findBySession, identify, isAlive } from './identity.ts';

/** A command line ready to be spawned. */
export type Command = { file: string; args: string[]; env?: Record<string, string>; cwd?: string };

export type CommandResult = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string };

/** In the environment of every process that a server of ours consists of; its value is the server's folder. */
export const OWNER_VARIABLE = 'STRANGLER_STACK_SERVER';

/**
 * Runs a command to its end. `code` is null when it was killed or, with `stderr` saying why, could not be started.
 * Output is kept up to `outputLimit` characters, its end rather than its beginning.
 */
export function runCommand(
  command: Command,
  options: { timeoutMs: number; input?: string; outputLimit?: number; signal?: AbortSignal | undefined },
): Promise<CommandResult> {
  const limit = options.outputLimit ?? 8_000_000;
  return new Promise((resolve) => {
    const child = spawn(command.file, command.args, {
      cwd: command.cwd,
      env: { ...process.env, ...command.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout = (stdout + chunk).slice(-limit);
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-limit);
    });
    const stop = () => child.kill('SIGKILL');
    const timer = setTimeout(() => {
      stderr += `\nended after ${options.timeoutMs} ms without an answer`;
      stop();
    }, options.timeoutMs);
    options.signal?.addEventListener('abort', stop, { once: true });
    const finish = (result: CommandResult) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', stop);
      resolve(result);
    };
    child.on('error', (error) => finish({ code: null, signal: null, stdout, stderr: `${stderr}${error.message}` }));
    child.on('close', (code, signal) => finish({ code, signal, stdout, stderr }));
    child.stdin.on('error', () => {}); // It may end without reading its input; its exit code tells.
    child.stdin.end(options.input ?? '');
  });
}

/**
 * Starts a process that outlives this one, in a session of its own, with its output appended to `log`.
 * Resolves once it runs; rejects when it cannot be started at all.
 */
export function startDetached(command: Command, options: { log: string; owner: string }): Promise<ProcessIdentity> {
  mkdirSync(dirname(options.log), { recursive: true });
  const out = openSync(options.log, 'a', 0o600);
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.args, {
      cwd: command.cwd,
      env: { ...process.env, ...command.env, [OWNER_VARIABLE]: options.owner },
      stdio: ['ignore', out, out],
      detached: true,
    });
    closeSync(out);
    child.on('error', (error) => reject(new Error(`${command.file} could not be started: ${error.message}`)));
    child.on('spawn', () => {
      child.unref();
      const identity = child.pid === undefined ? undefined : identify(child.pid);
      if (identity === undefined) reject(new Error(`${command.file} ended at once; see ${options.log}`));
      else resolve(identity);
    });
  });
}

/**
 * Every process that belongs to the server in this folder, now: those that were started for it, those in their
 * sessions, and those that carry its mark in their environment (a program that sets its own title overwrites that).
 */
export function processesOf(folder: string, started: readonly ProcessIdentity[]): ProcessIdentity[] {
  const found = new Map<number, ProcessIdentity>();
  for (const identity of [
    ...started.filter(isAlive),
    ...findBySession(started),
    ...findByEnvironment(OWNER_VARIABLE, folder),
  ]) {
    found.set(identity.pid, identity);
  }
  return [...found.values()];
}

/**
 * Ends processes: `signal` first, SIGKILL for those that are left after `graceMs`. `left` tells which there are still.
 * Those that `later` names are ended only when the others are gone.
 */
export async function stopProcesses(
  left: () => ProcessIdentity[],
  options: { signal: NodeJS.Signals; graceMs: number; later?: (identity: ProcessIdentity) => boolean },
): Promise<'none' | 'stopped' | 'killed'> {
  const first = (): ProcessIdentity[] => left().filter((identity) => !options.later?.(identity));
  if (left().length === 0) return 'none';
  const deadline = Date.now() + options.graceMs;
  let known = first();
  for (const identity of known) signalProcess(identity, options.signal);
  // Looking for processes reads something of each one on the machine; looking after known ones does not.
  while (Date.now() < deadline && known.length > 0) {
    await sleep(50);
    known = known.filter(isAlive);
    if (known.length === 0) known = first();
  }
  const late = first().length > 0;
  for (let round = 0; ; round++) {
    const remaining = left();
    if (remaining.length === 0) return late ? 'killed' : 'stopped';
    if (round === 200) {
      throw new Error(`processes ${remaining.map(({ pid }) => pid).join(', ')} do not end, even by SIGKILL`);
    }
    for (const identity of remaining) signalProcess(identity, 'SIGKILL');
    await sleep(25);
  }
}

/** Sends a signal to this very process; false when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}
