import { hostname, userInfo } from 'node:os';
import { type OpenedFlagStore, openFlagStore } from '@strangler/platform/flags/open-store.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Command } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';

/** What a command may touch of the process it runs in. */
export type Terminal = {
  /** Results: one line, or several, without the last line break. */
  out(text: string): void;
  err(text: string): void;
  environment: Readonly<Record<string, string | undefined>>;
  log: Log;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** Asks somebody who is there to type something; left out where nobody is. */
  ask?(question: string): Promise<string>;
  /** Where progress is drawn; left out where nobody looks on, and progress is told line by line. */
  screen?: Screen;
};

/** A stream that is an interactive terminal. */
export type Screen = NodeJS.WritableStream & { isTTY: true; columns: number };

export type StoreOptions = { flags?: string };

const defaultStore = 'consul://127.0.0.1:8500';

/** Adds `--flags`, which every command that reads or writes flags shares. */
export const withStoreOption = (command: Command): Command =>
  command.option(
    '--flags <address>',
    `flag store, consul://host:port or file://path (default: $STRANGLER_FLAGS, then $CONSUL_URL, then ${defaultStore})`,
  );

export const openStore = ({ flags }: StoreOptions, { environment, log }: Terminal): OpenedFlagStore => {
  const address =
    flags ?? environment.STRANGLER_FLAGS ?? environment.CONSUL_URL?.replace(/^http/, 'consul') ?? defaultStore;
  const token = environment.CONSUL_HTTP_TOKEN;
  try {
    return openFlagStore(address, { log, ...(token === undefined ? {} : { token }) });
  } catch (error) {
    throw new CliError((error as Error).message, exitCodes.usage);
  }
};

/** Who makes a change: `$STRANGLER_USER`, else the system's user and host. */
export const authorOf = ({ environment }: Terminal): string =>
  environment.STRANGLER_USER ?? `${userInfo().username}@${hostname()}`;
