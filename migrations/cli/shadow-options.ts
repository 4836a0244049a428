import { resolve } from 'node:path';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { createReportReader, type ReportReader } from '@strangler/platform/shadow-report/read-report.ts';
import { defaultReportPrefix } from '@strangler/platform/shadow-report/report.ts';
import type { Command } from 'commander';
import { loadApiDescription } from '../openapi/load-description.ts';
import { type ApiOperation, operationOf, undescribed } from '../openapi/operation.ts';
import { addressOf } from './addresses.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { setting } from './slice-option.ts';
import type { Terminal } from './terminal.ts';

export type RedisOptions = { redis?: string };
export type CredentialOptions = { token?: string[] };

const defaultRedis = 'redis://127.0.0.1:6379';
/** How long a command waits for Redis; where a connection is refused, it does not wait. */
const connectWithinMs = 900;

/** Adds the option of every command that reads the report of compared answers. */
export const withRedisOption = (command: Command): Command =>
  command.option(
    '--redis <url>',
    `Redis with the report of compared answers, redis://:password@host:port (default: $REDIS_URL, then ${defaultRedis})`,
  );

/** Adds the option by which a command speaks for somebody; in the environment no other user of the machine reads it. */
export const withTokenOption = (command: Command): Command =>
  command.option(
    '--token <token>',
    'speak for an account: a bearer token, with or without NAME= before it, or a whole value of Authorization; again for more (default: $STRANGLER_TOKENS, separated by commas)',
    (value: string, all: string[] | undefined) => [...(all ?? []), value],
  );

/** Values of Authorization. */
export const authorizationsOf = ({ token }: CredentialOptions, { environment }: Terminal): string[] =>
  (token ?? (environment.STRANGLER_TOKENS ?? '').split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '')
    // `strangler fuzz` names the accounts its tokens are of; that is taken here too.
    .map((text) => text.replace(/^[A-Za-z][\w-]{0,30}=(?=[^=])/, ''))
    .map((text) => (/^\S+ \S/.test(text) ? text : `Bearer ${text}`));

/** The address of Redis. @throws CliError: usage, for one that is none */
export const redisUrl = ({ redis }: RedisOptions, { environment }: Pick<Terminal, 'environment'>): string => {
  const url = redis ?? (environment.REDIS_URL || defaultRedis);
  if (/^rediss?:$/.test(URL.parse(url)?.protocol ?? '')) return url;
  throw new CliError(`--redis: expected redis://:password@host:port, found ${addressOf(url)}`, exitCodes.usage);
};

/**
 * Opens the report for `work` and closes it. `null` instead of it: Redis does not answer.
 * @throws CliError for an address that is none
 */
export const withReportOrNone = async <T>(
  options: RedisOptions,
  terminal: Terminal,
  work: (report: ReportReader | null) => Promise<T>,
): Promise<T> => {
  const { environment, log, signal } = terminal;
  const url = redisUrl(options, terminal);
  const redis = createRedis({ url, log, connectTimeoutMs: connectWithinMs, commandTimeoutMs: 5_000 });
  try {
    const isConnected = await redis.connected(connectWithinMs, signal);
    const prefix = environment.STRANGLER_SHADOW_PREFIX || defaultReportPrefix;
    return await work(isConnected ? createReportReader({ redis, prefix }) : null);
  } finally {
    await redis.close();
  }
};

/** The same; without Redis there is nothing to do. @throws CliError where it does not answer */
export const withReport = async <T>(
  options: RedisOptions,
  terminal: Terminal,
  work: (report: Answering) => Promise<T>,
): Promise<T> =>
  withReportOrNone(options, terminal, async (report) => {
    if (report === null) throw redisAway(options, terminal);
    return await work(answering(report, () => redisAway(options, terminal)));
  });

/** A report whose every answer is there. */
export type Answering = {
  [Name in keyof ReportReader]: (
    ...given: Parameters<ReportReader[Name]>
  ) => Promise<Exclude<Awaited<ReturnType<ReportReader[Name]>>, undefined>>;
};

const answering = (report: ReportReader, away: () => Error): Answering =>
  Object.fromEntries(
    Object.entries(report).map(([name, ask]) => [
      name,
      async (...given: unknown[]) => {
        const answer = await (ask as (...all: unknown[]) => Promise<unknown>)(...given);
        if (answer === undefined) throw away();
        return answer;
      },
    ]),
  ) as Answering;

const redisAway = ({ redis }: RedisOptions, { environment }: Terminal): CliError =>
  new CliError(
    `Redis at ${addressOf(redis ?? (environment.REDIS_URL || defaultRedis))} does not answer, and the report of compared answers is there. Name another with --redis or $REDIS_URL.`,
    exitCodes.unreachable,
  );

/**
 * The OpenAPI description that the option names, or the slice file; none where neither does.
 * @throws ApiDescriptionError
 */
export const readOperations = async (
  { openapi }: Pick<Slice, 'openapi'>,
  folder: string,
  option?: string,
): Promise<ApiOperation[]> => {
  const file = option ?? (openapi === null ? null : resolve(folder, openapi));
  return file === null ? [] : await loadApiDescription(file);
};

/** The operation of a route; without a description, as much as the route itself says. */
export const describedOperation = (operations: readonly ApiOperation[], endpoint: string): ApiOperation => {
  const [method = '', path = ''] = endpoint.split(' ');
  return operationOf(operations, { method, path }) ?? undescribed({ method, path });
};

/** Reads an option that is an address of HTTP. @throws CliError */
export const httpAddress = (
  option: string,
  given: string | undefined,
  variable: string,
  environment: Terminal['environment'],
  otherwise?: string,
): string => {
  const text = setting(given ?? (environment[variable] || otherwise), `${option} http://host:port`, variable);
  if (URL.canParse(text) && /^https?:/.test(text)) return text;
  throw new CliError(`${option}: expected an address such as http://127.0.0.1:8080, found "${text}"`, exitCodes.usage);
};
