import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessIdentity } from '../addresses.ts';

/** A line of /proc/PID/stat, as far as it is of use. */
export type ProcessStat = {
  state: string;
  parentPid: number;
  group: number;
  session: number;
  threads: number;
  startTime: string;
};

/**
 * Reads a line of /proc/PID/stat; see proc(5). The second field is the program's name in brackets, and may itself
 * hold blanks and brackets, so the fields are counted from its last one.
 */
export function parseStat(line: string): ProcessStat | undefined {
  const end = line.lastIndexOf(')');
  if (end < 0) return undefined;
  const fields = line.slice(end + 2).split(' ');
  const [state, parentPid, group, session] = fields;
  const startTime = fields[19];
  if (state === undefined || startTime === undefined) return undefined;
  const threads = Number(fields[17]);
  return { state, parentPid: Number(parentPid), group: Number(group), session: Number(session), threads, startTime };
}

/** The identity of a process that runs now; undefined when there is none, or it has ended. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = statOf(pid);
  if (stat === undefined || hasEnded(stat)) return undefined;
  return { pid, startTime: stat.startTime, bootId: bootId() };
}

/** Whether this very process still runs: not merely one with its number. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid);
  return now !== undefined && sameProcess(now, identity);
}

export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId;
}

/**
 * Every process that carries `NAME=value` in the environment it was started with. A server's children inherit it,
 * also those that leave its process group and session, so none of them is missed when it is stopped.
 */
export function findByEnvironment(name: string, value: string): ProcessIdentity[] {
  const wanted = Buffer.from(`\0${name}=${value}\0`);
  const found: ProcessIdentity[] = [];
  for (const pid of allPids()) {
    const environment = readOrNothing(`/proc/${pid}/environ`);
    if (environment === undefined) continue;
    if (!Buffer.concat([Buffer.from('\0'), environment, Buffer.from('\0')]).includes(wanted)) continue;
    const identity = identify(pid);
    if (identity !== undefined) found.push(identity);
  }
  return found;
}

/**
 * Every process in a session that one of these has begun (a detached process is its session's leader, and the
 * session's number is its pid). A session of the same number but begun after a later process start is another one.
 */
export function findBySession(leaders: readonly ProcessIdentity[]): ProcessIdentity[] {
  const boot = bootId();
  const starts = new Map(leaders.filter((leader) => leader.bootId === boot).map((leader) => [leader.pid, leader]));
  if (starts.size === 0) return [];
  const found: ProcessIdentity[] = [];
  for (const pid of allPids()) {
    const stat = statOf(pid);
    const leader = stat === undefined ? undefined : starts.get(stat.session);
    if (stat === undefined || leader === undefined || hasEnded(stat)) continue;
    // The number can only go to another process once no member of the session is left.
    const now = identify(leader.pid);
    if (now === undefined || sameProcess(now, leader)) found.push({ pid, startTime: stat.startTime, bootId: boot });
  }
  return found;
}

/**
 * A process that has ended waits in the table until its parent looks. One whose first thread has ended looks the same
 * but for its other threads, which still hold its files and ports.
 */
export function hasEnded({ state, threads }: Pick<ProcessStat, 'state' | 'threads'>): boolean {
  return state === 'X' || (state === 'Z' && threads <= 1);
}

function allPids(): number[] {
  return readdirSync('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? [Number(entry)] : []));
}

function statOf(pid: number): ProcessStat | undefined {
  const line = readOrNothing(`/proc/${pid}/stat`);
  return line === undefined ? undefined : parseStat(line.toString('utf8'));
}

let boot: string | undefined;

/** No process lives to see another one. */
function bootId(): string {
  boot ??= readOrNothing('/proc/sys/kernel/random/boot_id')?.toString('utf8').trim() ?? 'unknown';
  return boot;
}

function readOrNothing(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
