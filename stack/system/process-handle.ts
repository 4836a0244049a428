import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../addresses.ts';
import { repositoryRoot } from '../home/paths.ts';
import { isAlive } from '../process/identity.ts';
import { processesOf, signalProcess, startDetached, stopProcesses } from '../process/run.ts';
import type { ProcessDefinition, ProcessKind } from './definitions.ts';

/** One process of the system, by its pid. */
export type ProcessHandle = {
  readonly name: string;
  readonly kind: ProcessKind;
  /** Of the process that runs now; another one after `restart`. */
  readonly pid: number;
  readonly url: string;
  readonly adminUrl?: string;
  readonly logFile: string;
  alive(): boolean;
  /**
   * SIGKILL goes to all its processes (a proxy has workers), any other signal to the main one.
   * False when there was none left.
   */
  kill(signal?: NodeJS.Signals): boolean;
  /** Ends what is left of it and starts it anew with the same environment and ports; does not wait until it is ready. */
  restart(): Promise<void>;
  /** Resolves when it says that it is ready. Rejects with the end of its log when it has ended or takes too long. */
  waitReady(withinMs?: number): Promise<void>;
  /** SIGTERM, and SIGKILL for what is left after `graceMs`. Resolves when nothing is left. */
  stop(graceMs?: number): Promise<'none' | 'stopped' | 'killed'>;
};

/** What is written down of a process, so that another one can stop it. */
export type ProcessRecord = {
  name: string;
  kind: ProcessKind;
  url: string;
  adminUrl?: string;
  logFile: string;
  owner: string;
  identity: ProcessIdentity;
};

export type RunningProcess = ProcessHandle & { record(): ProcessRecord };

const READY_WITHIN_MS = 60_000;
const STOP_GRACE_MS = 20_000;
const LOG_LINES_SHOWN = 15;

/** Starts a process of the system under `folder`, where its log is kept too. `onChange` is told of each new pid. */
export async function startProcess(
  definition: ProcessDefinition,
  folder: string,
  onChange: () => void = () => {},
): Promise<RunningProcess> {
  const logFile = join(folder, `${definition.name}.log`);
  const owner = join(folder, definition.name);
  const launch = (): Promise<ProcessIdentity> =>
    startDetached(
      {
        file: pinnedNode(),
        args: [join(repositoryRoot, definition.entry), ...(definition.args ?? [])],
        cwd: repositoryRoot,
        env: definition.env,
      },
      { log: logFile, owner },
    );
  let identity = await launch();
  const every = (): ProcessIdentity[] => processesOf(owner, [identity]);
  const stop = (graceMs = STOP_GRACE_MS) => stopProcesses(every, { signal: 'SIGTERM', graceMs });
  const { name, kind, url, adminUrl } = definition;
  const addresses = { url, ...(adminUrl === undefined ? {} : { adminUrl }) };
  return {
    name,
    kind,
    ...addresses,
    logFile,
    get pid() {
      return identity.pid;
    },
    alive: () => isAlive(identity),
    kill(signal = 'SIGTERM') {
      if (signal !== 'SIGKILL') return signalProcess(identity, signal);
      return every()
        .map((one) => signalProcess(one, 'SIGKILL'))
        .some((sent) => sent);
    },
    async restart() {
      await stop();
      identity = await launch();
      onChange();
    },
    waitReady: (withinMs = READY_WITHIN_MS) => waitReady(definition, () => isAlive(identity), logFile, withinMs),
    stop,
    record: () => ({ name, kind, ...addresses, logFile, owner, identity }),
  };
}

/** Ends a process that another run has started, by what that has written down of it. */
export function stopRecorded(record: ProcessRecord, graceMs = STOP_GRACE_MS): Promise<'none' | 'stopped' | 'killed'> {
  return stopProcesses(() => processesOf(record.owner, [record.identity]), { signal: 'SIGTERM', graceMs });
}

export function isRunning(record: ProcessRecord): boolean {
  return isAlive(record.identity);
}

/** The Node that package-lock.json pins, whichever one runs this. */
export function pinnedNode(): string {
  const pinned = join(repositoryRoot, 'node_modules/node/bin/node');
  return existsSync(pinned) ? pinned : process.execPath;
}

async function waitReady(
  definition: ProcessDefinition,
  alive: () => boolean,
  logFile: string,
  withinMs: number,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  let last = 'it was not asked';
  while (performance.now() < deadline) {
    if (!alive()) throw new Error(withLog(`${definition.name} has ended before it was ready`, logFile));
    try {
      const response = await fetch(definition.readyUrl, { signal: AbortSignal.timeout(5_000) });
      const body = await response.text();
      if (response.status === 200) return;
      last = `${definition.readyUrl} answered ${response.status}: ${body.slice(0, 300)}`;
    } catch (error) {
      last = `${definition.readyUrl}: ${((error as Error).cause as Error | undefined)?.message ?? (error as Error).message}`;
    }
    await sleep(50);
  }
  throw new Error(withLog(`${definition.name} is not ready within ${withinMs / 1000} s (${last})`, logFile));
}

function withLog(what: string, logFile: string): string {
  const lines = existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_SHOWN) : [];
  return [`${what}; the end of its log, ${logFile}:`, ...lines.map((line) => `    ${line}`)].join('\n');
}
