import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pause } from '@strangler/platform/backoff.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { AddressBook } from './address-book.ts';
import { matchesOutput } from './match-output.ts';
import type { PageCommand, PageStep } from './page-steps.ts';
import type { Shell } from './shell.ts';

export type PageRun = {
  page: string;
  folder: string;
  shell: Shell;
  addresses: AddressBook;
};

const commandWithinMs = 240_000;
const showsWithinMs = 60_000;

/** Does what a page says, step by step; rejects at the first command that does not print what the page shows. */
export async function runSteps(steps: readonly PageStep[], run: PageRun): Promise<void> {
  for (const step of steps) {
    if (step.kind === 'file') {
      writeStep(step, run);
    } else if (step.mode.kind === 'until-it-shows') {
      await eventually(() => lookAt(step.commands, run), { withinMs: showsWithinMs });
    } else {
      await runCommands(step.commands, run);
    }
  }
}

/** Looks once; where it does not show yet, as long again passes, so that looking leaves the machine to what is looked at. */
async function lookAt(commands: readonly PageCommand[], run: PageRun): Promise<true> {
  const begun = performance.now();
  try {
    return await runCommands(commands, run);
  } catch (error) {
    await pause(performance.now() - begun);
    throw error;
  }
}

/** Runs commands in order. A status other than 0 is a failure, unless the page goes on to show it with `echo $?`. */
async function runCommands(commands: readonly PageCommand[], { page, shell, addresses }: PageRun): Promise<true> {
  for (const [index, { command, expected, line }] of commands.entries()) {
    const { status, lines } = await shell.run(addresses.toReal(command), commandWithinMs).catch((error: Error) => {
      throw new Error(`${page}:${line}: $ ${command}: ${error.message}`);
    });
    const found = lines.map((text) => addresses.toDocumented(text));
    const shown = commands[index + 1]?.command === 'echo $?';
    if (matchesOutput(expected, found) && (status === 0 || shown)) continue;
    throw new Error(
      [
        `${page}:${line}: $ ${command}`,
        `exit status ${status}, expected:`,
        ...expected.map((text) => `  | ${text}`),
        'found:',
        ...found.map((text) => `  | ${text}`),
      ].join('\n'),
    );
  }
  return true;
}

function writeStep({ path, text }: PageStep & { kind: 'file' }, { folder, addresses }: PageRun): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, addresses.toReal(text));
}
