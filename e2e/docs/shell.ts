import { spawn } from 'node:child_process';

/** What one command did. */
export type CommandResult = { status: number; lines: string[] };

/** One bash that runs commands one after the other, as a reader's terminal does: variables, functions and jobs stay. */
export type Shell = {
  /** Rejects when the command takes longer than `withinMs`, with what it has printed so far. */
  run(command: string, withinMs: number): Promise<CommandResult>;
  /** Ends the shell and whatever still runs in it. */
  close(): Promise<void>;
};

const closeGraceMs = 10_000;

/** Starts a bash in `folder` with this environment and no start-up files. Standard output and error come as one. */
export function openShell(folder: string, env: NodeJS.ProcessEnv): Shell {
  // A process group of its own, so that what a page leaves in the background ends with it.
  const bash = spawn('bash', ['--norc', '--noprofile'], {
    cwd: folder,
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const mark = `end-${crypto.randomUUID()}`;
  let printed = '';
  let onText = (): void => {};
  for (const stream of [bash.stdout, bash.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      onText();
    });
  }
  bash.stdin.on('error', () => {});
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    bash.once('close', () => {
      ended = true;
      onText();
      resolve();
    });
    bash.once('error', (error) => {
      printed += error.message;
      ended = true;
      onText();
      resolve();
    });
  });
  bash.stdin.write('exec 2>&1\n');

  return {
    run(command, withinMs) {
      printed = '';
      const finished = new Promise<CommandResult>((resolve, reject) => {
        const fail = (why: string) => {
          onText = () => {};
          clearTimeout(timer);
          reject(new Error(`${why}:\n${printed}`));
        };
        const timer = setTimeout(() => fail(`not done within ${withinMs / 1000} s, so far it printed`), withinMs);
        onText = () => {
          const end = new RegExp(`\\n?${mark} (\\d+)\\n`).exec(printed);
          if (end !== null) {
            onText = () => {};
            clearTimeout(timer);
            resolve({ status: Number(end[1]), lines: readLines(printed.slice(0, end.index)) });
          } else if (ended) fail('the shell has ended, it printed');
        };
      });
      // The next command must find this one's exit status in `$?`, as it would in a terminal.
      bash.stdin.write(
        `{\n${command}\n} </dev/null\n__status=$?; printf '\\n%s %s\\n' ${mark} "$__status"; (exit "$__status")\n`,
      );
      return finished;
    },
    async close() {
      signalGroup(bash.pid, 'SIGTERM');
      bash.stdin.end();
      const timer = setTimeout(() => signalGroup(bash.pid, 'SIGKILL'), closeGraceMs);
      await gone;
      clearTimeout(timer);
      signalGroup(bash.pid, 'SIGKILL');
    },
  };
}

/** Lines without their ends; those of HTTP headers end with CR LF. */
function readLines(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split(/\r?\n/);
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // Nothing of it is left.
  }
}
