import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from '@jest/globals';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { pickPorts } from '@strangler/stack/process/ports.ts';
import { downStack } from '@strangler/stack/servers.ts';
import { stopSystem } from '@strangler/stack/system/system.ts';
import { type AddressBook, openAddressBook } from './address-book.ts';
import { writeNpmShims } from './npm-shims.ts';
import type { PageStep } from './page-steps.ts';
import { pagesInOrder } from './pages.ts';
import { runSteps } from './run-page.ts';
import { openShell } from './shell.ts';

const instance = 'test-docs';
/** Ports of the proxies that the pages start by hand. */
const ownPorts = [8090, 8091];
/** Most pages take seconds; the first one starts servers and processes, on a machine that may be busy with other things. */
const pageWithinMs = 480_000;

const when = (step: PageStep): 'now' | 'at-the-end' | 'never' => {
  if (step.kind === 'file') return 'now';
  if (step.mode.kind === 'not-run') return 'never';
  return step.mode.kind === 'at-the-end' ? 'at-the-end' : 'now';
};

describe('the commands in the docs print what the docs say', () => {
  const pages = pagesInOrder().filter(({ steps }) => steps.some((step) => when(step) !== 'never'));
  let folder: string;
  let shims: string;
  let addresses: AddressBook;

  const clear = async (): Promise<void> => {
    await stopSystem(instance);
    await downStack(instance, { purge: true });
  };

  beforeAll(async () => {
    await clear();
    folder = mkdtempSync(join(tmpdir(), 'docs-'));
    shims = mkdtempSync(join(tmpdir(), 'docs-npm-'));
    writeNpmShims(shims, { repository: repositoryRoot, path: process.env.PATH ?? '' });
    // Looks like a clone to whoever stands in it, and what a page writes there is thrown away.
    for (const name of readdirSync(repositoryRoot)) {
      if (name !== '.git') symlinkSync(join(repositoryRoot, name), join(folder, name));
    }
    const real = await pickPorts(ownPorts.length);
    addresses = openAddressBook(instance, new Map(ownPorts.map((port, index) => [port, real[index]!])));
  }, 180_000);

  afterAll(async () => {
    await clear();
    for (const made of [folder, shims]) rmSync(made, { recursive: true, force: true });
  }, 180_000);

  const runAt = async (page: string, steps: PageStep[]): Promise<void> => {
    const shell = openShell(folder, readersEnvironment(shims));
    try {
      await runSteps(steps, { page, folder, shell, addresses });
    } finally {
      await shell.close();
    }
  };

  for (const { path, steps } of pages) {
    test(
      path,
      () =>
        runAt(
          path,
          steps.filter((step) => when(step) === 'now'),
        ),
      pageWithinMs,
    );
  }
  for (const { path, steps } of pages) {
    const last = steps.filter((step) => when(step) === 'at-the-end');
    if (last.length > 0) test(`${path}, at the end`, () => runAt(path, last), 60_000);
  }
});

/** What a reader has in a fresh terminal: nothing of the test runner's, npm's warnings about the machine switched off, and a quicker npm. */
function readersEnvironment(shims: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(NODE_|JEST_|TEST_|npm_|CONSUL|STRANGLER_|OPERATOR_|PORT$|HOST$|MONOLITH_|SERVICES$|FORCE_COLOR)/.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    PATH: `${shims}:${process.env.PATH}`,
    STACK_INSTANCE: instance,
    STRANGLER_USER: 'you',
    LC_ALL: 'C.UTF-8',
    npm_config_loglevel: 'error',
    npm_config_update_notifier: 'false',
  };
}
