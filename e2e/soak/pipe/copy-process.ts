import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pause } from '@strangler/platform/backoff.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';

const cli = fileURLToPath(import.meta.resolve('@strangler/migrations/cli/main.ts'));

export type CopyRun = {
  /** Copies that were carried through. */
  done(): number;
  /** Copies that were killed in the midst. */
  kills(): number;
  /** What a copy said that ended by itself with anything but success, while nothing was broken. */
  failures(): readonly string[];
  /** Ends when one copy is carried through; one more that is at it is killed. */
  finish(): Promise<void>;
};

/**
 * Copies the slice again and again by `strangler backfill`, each time from the first key, and kills it by the seed while
 * it is at it, up to so many times a copy.
 */
export function runCopies(options: {
  slice: string;
  env: Record<string, string>;
  random: () => number;
  killsPerCopy: number;
  /** Whether something is broken on purpose just now, so that a copy may give up. */
  faultUnderWay(): boolean;
  signal: AbortSignal;
}): CopyRun {
  const { slice, env, random, killsPerCopy, faultUnderWay, signal } = options;
  const counts = { done: 0, kills: 0 };
  const failures: string[] = [];
  const finishing = new AbortController();
  let current: ChildProcess | undefined;

  async function copy(restart: boolean): Promise<void> {
    let kills = 0;
    for (let again = restart; ; ) {
      // A lag that faults make must not keep the copy waiting until the end.
      const words = ['backfill', slice, '--json', '--max-lag', '30s', ...(again ? ['--restart'] : [])];
      const child = spawn(process.execPath, [cli, ...words], {
        env: { ...programEnvironment(), ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      current = child;
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk) => {
          output = (output + chunk).slice(-100_000);
        });
      }
      const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
      const killing = kills < killsPerCopy ? killInTheMidst(child, () => output, exited) : undefined;
      const [code] = await exited;
      // What was begun anew goes on from where it is.
      if (output.includes('"begun"')) again = false;
      if (isOver()) return;
      if ((await killing) === true) {
        kills += 1;
        counts.kills += 1;
      } else if (code === 0) {
        counts.done += 1;
        return;
      } else {
        if (!faultUnderWay()) failures.push(`backfill ended with ${code}: ${output.trim().slice(-500)}`);
        if (failures.length > 20) return;
        await pause(300, signal);
      }
      if (isOver()) return;
    }
  }

  /** The first copy is always carried through. */
  const isOver = () => signal.aborted || (finishing.signal.aborted && counts.done > 0);

  /** Lets the copy write a few chunks, or wait for a while; true when it was killed. */
  async function killInTheMidst(child: ChildProcess, output: () => string, exited: Promise<unknown>): Promise<boolean> {
    let over = false;
    void exited.then(() => {
      over = true;
    });
    const begun = new RegExp(`"(begun|resumed)"${'.*"chunk"'.repeat(Math.floor(random() * 4))}`, 's');
    const patienceMs = 500 + random() * 2_500;
    for (let beganMs = Number.NaN; !over && !begun.test(output()); await pause(5)) {
      if (Number.isNaN(beganMs) && output().includes('"table"')) beganMs = performance.now();
      if (performance.now() - beganMs > patienceMs) break;
    }
    if (over) return false;
    await pause(random() * 20);
    return child.kill('SIGKILL');
  }

  signal.addEventListener('abort', () => current?.kill('SIGKILL'), { once: true });
  const running = (async () => {
    for (let restart = false; !finishing.signal.aborted && !signal.aborted; restart = true) {
      await copy(restart);
      if (failures.length > 20) return;
      await pause(200, signal);
    }
  })();
  return {
    done: () => counts.done,
    kills: () => counts.kills,
    failures: () => failures,
    async finish() {
      finishing.abort();
      if (counts.done > 0) current?.kill('SIGKILL');
      await running;
    },
  };
}
