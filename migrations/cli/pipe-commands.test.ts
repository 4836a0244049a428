import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { freePort } from '@strangler/platform/testing/sockets.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pipe-commands-'));
  for (const [slice, tables] of [
    ['shop', 'tables: [ { source: things } ]'],
    ['bare', ''],
  ]) {
    await mkdir(join(folder, slice as string));
    await writeFile(
      join(folder, slice as string, 'slice.yaml'),
      `slice: ${slice}\nservice: ${slice}\nroutes: [ GET /${slice} ]\n${tables}\n`,
    );
  }
});
afterAll(() => rm(folder, { recursive: true }));

const secret = 'p4ss-word';

const run = async (words: readonly string[], environment: Record<string, string> = {}) => {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runProgram(words, {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment,
    log: createLog({ name: 'test', level: 'silent' }),
    signal: new AbortController().signal,
  });
  return { status, out: out.join('\n'), err: err.join('\n') };
};

const database = (port: number) => `mysql://user:${secret}@127.0.0.1:${port}/shop`;
const settings = (more: Record<string, string> = {}) => ({
  STRANGLER_SOURCE: database(1),
  STRANGLER_TARGET: database(1),
  STRANGLER_SLICES: folder,
  ...more,
});

const pipeCommands: [string, string[]][] = [
  ['backfill', []],
  ['verify', []],
  ['repair', ['--differences', '--reason', 'why']],
  ['writers', []],
];

describe.each(pipeCommands)('strangler %s', (command, more) => {
  test.each([
    ['STRANGLER_SOURCE', '--source'],
    ['STRANGLER_TARGET', '--target'],
    ['STRANGLER_SLICES', '--slices'],
  ])('without %s says in one line what to set, and exits 2', async (variable, option) => {
    const refused = await run([command, 'shop', ...more], settings({ [variable]: '' }));
    expect(refused.status).toBe(exitCodes.usage);
    expect(refused.err.split('\n')).toHaveLength(1);
    expect(refused.err).toContain(`$${variable}`);
    expect(refused.err).toContain(option);
  });

  test('names the slices that there are, and says that a slice has no tables', async () => {
    expect(await run([command, 'shpo', ...more], settings())).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('(bare, shop), found "shpo"'),
    });
    expect(await run([command, 'bare', ...more], settings())).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringMatching(/^strangler: .*bare\/slice\.yaml: expected `tables`, found none/),
    });
  });

  test.each([`redis://user:${secret}@db:1/shop`, `mysql://user:${secret}@db:1`, `user:${secret}@db`])(
    'refuses a database address that is none, without its password',
    async (url) => {
      const refused = await run([command, 'shop', '--target', url, ...more], settings());
      expect(refused).toMatchObject({ status: exitCodes.usage, err: expect.stringContaining('--target: expected') });
      expect(refused.err).not.toContain(secret);
    },
  );

  test('says in one line which database does not answer, without its password, and exits 4', async () => {
    const port = await freePort();
    const failed = await run([command, 'shop', ...more], settings({ STRANGLER_SOURCE: database(port) }));
    expect(failed.status).toBe(exitCodes.unreachable);
    expect(failed.err).toMatch(
      new RegExp(
        `^strangler: the monolith's database at 127\\.0\\.0\\.1:${port}/shop does not answer \\(ECONNREFUSED\\)`,
      ),
    );
    expect(failed.err).not.toContain(secret);
    expect(failed.err.split('\n')).toHaveLength(1);
  });
});

test.each([
  ['backfill', '--max-lag', 'soon'],
  ['backfill', '--max-running', '0'],
  ['verify', '--every', '-1s'],
  ['verify', '--max-differences', 'many'],
  ['verify', '--patience', '2 d'],
  ['repair', '--limit', '0'],
  ['repair', '--wait', 'long'],
  ['writers', '--newest', '1.5'],
])('strangler %s refuses %s=%s, naming the option, before it looks for a database', async (command, option, value) => {
  const refused = await run([command, 'shop', `${option}=${value}`]);
  expect(refused).toMatchObject({ status: exitCodes.usage, err: expect.stringContaining(`${option}: expected`) });
  expect(refused.err).toContain(`found "${value}"`);
});

describe('strangler repair', () => {
  test.each([[[]], [['--key', '1', '--differences']]])(
    'wants either keys or --differences, found %j',
    async (which) => {
      expect(await run(['repair', 'shop', '--reason', 'why', ...which])).toMatchObject({
        status: exitCodes.usage,
        err: expect.stringContaining('either --key'),
      });
    },
  );

  test.each([[[]], [['--reason', ' ']]])('wants to know why, found %j', async (reason) => {
    expect(await run(['repair', 'shop', '--key', '1', ...reason])).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('--reason'),
    });
  });
});

describe('strangler dlq', () => {
  test.each(['replay', 'drop'])('%s wants either message ids or --all', async (command) => {
    for (const which of [[], ['a/1', '--all']]) {
      expect(
        await run(['dlq', command, 'shop', ...which, ...(command === 'drop' ? ['--reason', 'why'] : [])]),
      ).toMatchObject({
        status: exitCodes.usage,
        err: expect.stringContaining('either message ids'),
      });
    }
  });

  test('drop wants to know why', async () => {
    expect(await run(['dlq', 'drop', 'shop', '--all'])).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('--reason'),
    });
  });

  test('refuses an address that is not RabbitMQ, and says where none answers, without the password', async () => {
    const refused = await run(['dlq', 'list', 'shop', '--rabbitmq', `http://user:${secret}@host`]);
    expect(refused).toMatchObject({ status: exitCodes.usage, err: expect.stringContaining('--rabbitmq: expected') });
    expect(refused.err).not.toContain(secret);
    const port = await freePort();
    const failed = await run(['dlq', 'list', 'shop'], { RABBITMQ_URL: `amqp://user:${secret}@127.0.0.1:${port}` });
    expect(failed.status).toBe(exitCodes.unreachable);
    expect(failed.err).toMatch(new RegExp(`^strangler: RabbitMQ at 127\\.0\\.0\\.1:${port} does not answer`));
    expect(failed.err).not.toContain(secret);
  });
});
