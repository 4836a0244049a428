import { join } from 'node:path';
import type { SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { checkMysqlUrl } from '@strangler/platform/mysql/pool.ts';
import { connect, RabbitAway, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Command } from 'commander';
import { isServerAway } from '../engine/apply/sql-errors.ts';
import { readFence } from '../engine/fence/fence-state.ts';
import { defaultExchange } from '../engine/pipe/apply-consumer.ts';
import type { Direction } from '../engine/pipe/direction.ts';
import { endedCopies } from '../engine/pipe/ended-copies.ts';
import { openPipeDatabases, type PipeDatabases } from '../engine/pipe/open-databases.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { addressOf } from './addresses.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { readSliceNamed, type SlicesOptions, setting, withSlicesOption } from './slice-option.ts';
import type { Terminal } from './terminal.ts';

export type PipeOptions = SlicesOptions & { source?: string; target?: string };
export type BrokerOptions = { rabbitmq?: string; exchange?: string };

/** Both ends of a slice's pipe, and the folder in which its slice file stands. */
export type OpenPipe = PipeDatabases & { folder: string };

const defaultBroker = 'amqp://127.0.0.1:5672';

/** Adds the options of every command that works on a slice's data. */
export const withPipeOptions = (command: Command): Command =>
  withSlicesOption(
    command
      .option(
        '--source <url>',
        "the monolith's database, mysql://user:password@host:port/name (default: $STRANGLER_SOURCE)",
      )
      .option(
        '--target <url>',
        "the service's database, likewise (default: $STRANGLER_TARGET_<SLICE>, then $STRANGLER_TARGET)",
      ),
  );

/** Adds the option of every command that talks to RabbitMQ. */
export const withBrokerAddress = (command: Command): Command =>
  command.option(
    '--rabbitmq <url>',
    `RabbitMQ, amqp://user:password@host:port/vhost (default: $RABBITMQ_URL, then ${defaultBroker})`,
  );

/** The same, with the exchange. */
export const withBrokerOptions = (command: Command): Command =>
  withBrokerAddress(command).option(
    '--exchange <name>',
    `the exchange that relays publish to (default: $OUTBOX_EXCHANGE, then ${defaultExchange})`,
  );

/** Where the database of one slice's service may be named, beside those of others: `order-history` → `STRANGLER_TARGET_ORDER_HISTORY`. */
export const targetVariable = (slice: string): string => `STRANGLER_TARGET_${slice.toUpperCase().replaceAll('-', '_')}`;

/** The addresses of a slice's databases. @throws CliError: usage, for one that is named nowhere or is none */
export const databaseUrls = (
  options: PipeOptions,
  { environment }: Pick<Terminal, 'environment'>,
  slice: string,
): { sourceUrl: string; targetUrl: string } => ({
  sourceUrl: databaseUrl(options.source ?? environment.STRANGLER_SOURCE, 'source'),
  targetUrl: databaseUrl(
    options.target ?? environment[targetVariable(slice)] ?? environment.STRANGLER_TARGET,
    'target',
  ),
});

/**
 * Opens both databases of a slice and sees that they answer; close it.
 * @throws CliError: usage for an option or slice that is not there, unreachable for a database that does not answer
 */
export const openPipe = async (
  options: PipeOptions,
  terminal: Terminal,
  sliceName: string,
  direction: Direction = 'forward',
): Promise<OpenPipe> => {
  const { sourceUrl, targetUrl } = databaseUrls(options, terminal, sliceName);
  const { slice, folder } = await readSliceNamed(sliceName, options, terminal);
  if (slice.tables.length === 0) {
    throw new CliError(
      `${join(folder, 'slice.yaml')}: expected \`tables\`, found none: this slice has no data to move`,
      exitCodes.usage,
    );
  }
  const at = { slice, folder, sourceUrl, targetUrl, direction };
  const pipe = openPipeDatabases(at);
  const [monolith, service] =
    direction === 'forward' ? [pipe.source.read, pipe.target.read] : [pipe.target.read, pipe.source.read];
  let ended: readonly SliceTable[];
  try {
    await checkAnswers(monolith, 'source', sourceUrl);
    await checkAnswers(service, 'target', targetUrl);
    ended = await endedCopies(slice, monolith);
  } catch (error) {
    await pipe.close();
    throw error;
  }
  if (ended.length === 0) return { ...pipe, folder };
  await pipe.close();
  return { ...openPipeDatabases({ ...at, ended }), folder };
};

/** Opens a slice's pipe for `work` and closes it, whatever comes. */
export const withPipe = async <T>(
  options: PipeOptions,
  terminal: Terminal,
  sliceName: string,
  work: (pipe: OpenPipe) => Promise<T>,
): Promise<T> => {
  const pipe = await openPipe(options, terminal, sliceName);
  try {
    return await work(pipe);
  } finally {
    await pipe.close();
  }
};

/**
 * The same, with the pipe that flows from the side that owns the slice's writes. The monolith's fence says who that is:
 * it is closed as long as the service does.
 */
export const withOwnersPipe = async <T>(
  options: PipeOptions,
  terminal: Terminal,
  sliceName: string,
  work: (pipe: OpenPipe) => Promise<T>,
): Promise<T> =>
  withPipe(options, terminal, sliceName, async (forward) => {
    const fence = await readFence(forward.source.read, forward.sliceName);
    if (fence?.state !== 'closed') return await work(forward);
    const reverse = await openPipe(options, terminal, sliceName, 'reverse');
    try {
      return await work(reverse);
    } finally {
      await reverse.close();
    }
  });

/** The exchange that these options name. */
export const exchangeOf = ({ exchange }: BrokerOptions, { environment }: Terminal): string =>
  exchange ?? (environment.OUTBOX_EXCHANGE || defaultExchange);

/** The broker's address. @throws CliError: usage, for one that is none */
export const brokerUrl = ({ rabbitmq }: BrokerOptions, { environment }: Pick<Terminal, 'environment'>): string => {
  const url = rabbitmq ?? (environment.RABBITMQ_URL || defaultBroker);
  if (/^amqps?:$/.test(URL.parse(url)?.protocol ?? '')) return url;
  throw new CliError(
    `--rabbitmq: expected amqp://user:password@host:port/vhost, found ${addressOf(url)}`,
    exitCodes.usage,
  );
};

/** Connects to RabbitMQ for `work` and closes the connection, whatever comes. @throws CliError where it does not answer */
export const withBroker = async <T>(
  options: BrokerOptions,
  terminal: Terminal,
  work: (rabbit: RabbitConnection) => Promise<T>,
): Promise<T> => {
  const url = brokerUrl(options, terminal);
  const rabbit = connect({ url, log: terminal.log, channelTimeoutMs: 3000 });
  try {
    return await work(rabbit);
  } catch (error) {
    if (!(error instanceof RabbitAway)) throw error;
    throw new CliError(
      `RabbitMQ at ${addressOf(url)} does not answer. Does it run there, and may this user log in? Name another with --rabbitmq or $RABBITMQ_URL.`,
      exitCodes.unreachable,
    );
  } finally {
    await rabbit.close();
  }
};

type End = 'source' | 'target';

const whose: Record<End, string> = { source: "the monolith's database", target: "the service's database" };

const databaseUrl = (text: string | undefined, end: End): string => {
  const url = setting(text, `--${end} mysql://user:password@host:port/name`, `STRANGLER_${end.toUpperCase()}`);
  try {
    // A database's name is what all that follows is looked up by.
    if (checkMysqlUrl(url).pathname.length > 1) return url;
  } catch {}
  throw new CliError(
    `--${end}: expected ${whose[end]} as mysql://user:password@host:port/name, found ${addressOf(url)}`,
    exitCodes.usage,
  );
};

const checkAnswers = async (db: PipeDatabases['source']['read'], end: End, url: string): Promise<void> => {
  try {
    await rowsOf(db, 'SELECT 1');
  } catch (error) {
    const { code, sqlMessage } = error as { code?: string; sqlMessage?: string };
    const where = `${whose[end]} at ${addressOf(url)}`;
    if (isServerAway(error) || (sqlMessage === undefined && code !== undefined)) {
      throw new CliError(
        `${where} does not answer (${code ?? 'no answer'}). Does it run there? Name another with --${end} or $STRANGLER_${end.toUpperCase()}.`,
        exitCodes.unreachable,
      );
    }
    if (sqlMessage === undefined) throw error;
    throw new CliError(`${where} refuses: ${sqlMessage}. Correct --${end} or $STRANGLER_${end.toUpperCase()}.`);
  }
};
