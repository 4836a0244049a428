import { readFile } from 'node:fs/promises';
import { compileRules } from '@strangler/platform/compare/rules.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { checkMysqlUrl } from '@strangler/platform/mysql/pool.ts';
import type { Command } from 'commander';
import { openPipeDatabases } from '../engine/pipe/open-databases.ts';
import { type Side, sideAt } from '../http/side.ts';
import type { Comparing } from '../parity/compare-step.ts';
import { observeDatabases } from '../parity/observe/databases.ts';
import { answersOnly, type Observer } from '../parity/observe/observer.ts';
import { rulesOfSlice } from '../parity/rules-of-slice.ts';
import type { Tokens } from '../parity/run-scenario.ts';
import { addressOf } from './addresses.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs } from './option-values.ts';
import { type ResetCommand, resetBy } from './reset-command.ts';
import { readSliceNamed } from './slice-option.ts';
import type { Terminal } from './terminal.ts';

export type ParityOptions = {
  left?: string;
  right?: string;
  leftDatabase?: string;
  rightDatabase?: string;
  slices?: string;
  slice?: string;
  token: readonly string[];
  reset?: string;
  slowerBy?: string;
};

/** The options of every command that holds two sides against each other. */
export const withParityOptions = (command: Command): Command =>
  command
    .option('--left <url>', 'the side that is right, as the monolith is: http://host:port')
    .option('--right <url>', 'the side that is to be like it')
    .option('--slice <name>', "compare by this slice file's rules (compare: …), and try only its routes")
    .option('--slices <folder>', 'folder of slice files (default: $STRANGLER_SLICES)')
    .option('--left-database <url>', 'with --right-database and --slice: compare rows and domain events too')
    .option('--right-database <url>', 'mysql://user:password@host:port/name; nobody else may write to either')
    .option(
      '--token <role=token>',
      'an access token that both sides accept; @file reads it from there; once a role',
      (one: string, before: readonly string[]) => [...before, one],
      [] as readonly string[],
    )
    .option('--reset <command>', 'brings both sides back to the same data; run by a shell before each sequence')
    .option('--slower-by <time>', 'tell reads for which the right side takes so much longer, three times in a row');

export type Parity = {
  comparing: Comparing;
  tokens: Tokens;
  slice: Slice | undefined;
  reset: ResetCommand | undefined;
};

/** Opens both sides, and both databases where they are given, for `work`, and closes them whatever comes. */
export const withParity = async (
  options: ParityOptions,
  terminal: Terminal,
  work: (parity: Parity) => Promise<void>,
): Promise<void> => {
  const tokens = await tokensOf(options.token);
  const { slice, folder } =
    options.slice === undefined
      ? { slice: undefined, folder: '' }
      : await readSliceNamed(options.slice, options, terminal);
  const reset = options.reset === undefined ? undefined : resetBy(options.reset, terminal);
  const slowerByMs = options.slowerBy === undefined ? null : timeSpanMs('--slower-by', options.slowerBy, 1);
  const closers: (() => unknown)[] = [];
  try {
    const sides = [side('left', options.left), side('right', options.right)] as const;
    for (const one of sides) closers.push(() => one.close());
    const observer = await observerOf(options, { slice, folder }, closers);
    const rules = slice === undefined ? compileRules(defaultCompare) : rulesOfSlice(slice);
    await work({ comparing: { sides, rules, observer, slowerByMs }, tokens, slice, reset });
  } finally {
    for (const close of closers.reverse()) await close();
  }
};

const side = (name: 'left' | 'right', url: string | undefined): Side => {
  if (/^https?:$/.test(URL.parse(url ?? '')?.protocol ?? '')) return sideAt(name, url as string);
  throw new CliError(`--${name}: expected http://host:port, found ${addressOf(url ?? '')}`, exitCodes.usage);
};

const tokensOf = async (given: readonly string[]): Promise<Tokens> => {
  const tokens: Record<string, string> = {};
  for (const one of given) {
    const found = /^([A-Za-z][\w-]{0,63})=(.+)$/s.exec(one);
    if (found === null) {
      throw new CliError(
        `--token: expected role=token, found something else of ${one.length} characters`,
        exitCodes.usage,
      );
    }
    const [, role = '', token = ''] = found;
    tokens[role] = token.startsWith('@') ? await tokenFrom(token.slice(1)) : token;
  }
  return tokens;
};

const tokenFrom = async (file: string): Promise<string> => {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    throw new CliError(`--token: expected a token in ${file}, found ${(error as Error).message}`, exitCodes.usage);
  }
};

const observerOf = async (
  { leftDatabase, rightDatabase }: ParityOptions,
  { slice, folder }: { slice: Slice | undefined; folder: string },
  closers: (() => unknown)[],
): Promise<Observer> => {
  if (leftDatabase === undefined && rightDatabase === undefined) return answersOnly;
  if (leftDatabase === undefined || rightDatabase === undefined || slice === undefined) {
    throw new CliError(
      'rows are compared with --left-database, --right-database and --slice together: expected all of them, found some',
      exitCodes.usage,
    );
  }
  const [sourceUrl, targetUrl] = [database('left', leftDatabase), database('right', rightDatabase)];
  const pipe = openPipeDatabases({ slice, folder, sourceUrl, targetUrl, captures: false });
  closers.push(() => pipe.close());
  return await observeDatabases(pipe);
};

const database = (name: 'left' | 'right', url: string): string => {
  try {
    if (checkMysqlUrl(url).pathname.length > 1) return url;
  } catch {}
  const found = addressOf(url);
  throw new CliError(
    `--${name}-database: expected mysql://user:password@host:port/name, found ${found}`,
    exitCodes.usage,
  );
};
