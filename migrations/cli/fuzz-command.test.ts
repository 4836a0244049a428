import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { freePort } from '@strangler/platform/testing/sockets.ts';
import { type NotesServer, notesApi, startNotes } from '../parity/notes.fixture.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';

let folder: string;
let left: NotesServer;
let right: NotesServer;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fuzz-'));
  left = await startNotes({ firstId: 1, dirtyFile: join(folder, 'left') });
  right = await startNotes({ firstId: 1, fault: 'long-title-cut', dirtyFile: join(folder, 'right') });
  await writeFile(join(folder, 'openapi.json'), JSON.stringify(notesApi));
});
afterEach(async () => {
  for (const server of [left, right]) await server.stop();
  await rm(folder, { recursive: true });
});

const run = async (words: string[], signal = new AbortController().signal) => {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runProgram(words, {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment: { PATH: process.env.PATH },
    log: createLog({ name: 'test', level: 'silent' }),
    signal,
  });
  return { status, out: out.join('\n'), err: err.join('\n') };
};
const sides = (to = right) => ['--left', left.url, '--right', to.url, '--token', 'admin=admin-token'];
const openapi = () => ['--openapi', join(folder, 'openapi.json'), '--seed', '1'];

const reset = () => `rm -f ${folder}/left ${folder}/right`;

describe('strangler fuzz', () => {
  test('tells a difference, saves it, and strangler parity shows it again', async () => {
    const found = await run(['fuzz', ...sides(), ...openapi(), '--reset', reset(), '--steps', '8', '--save', folder]);
    expect(found.status).toBe(exitCodes.failed);
    expect(found.err).toMatch(/the two sides differ: .*\$\.title/);
    expect(found.out).toMatch(/POST \/notes as admin/);
    const [file = ''] = (await readdir(folder)).filter((name) => name.startsWith('post-notes'));
    expect(JSON.parse(await readFile(join(folder, file), 'utf8'))).toMatchObject({ seed: 1, steps: [{ as: 'admin' }] });
    const again = await run(['parity', join(folder, file), ...sides(), '--reset', reset()]);
    expect(again).toMatchObject({ status: exitCodes.failed, out: expect.stringContaining('$.title (value)') });
    const like = await startNotes({ firstId: 1 });
    left.reset();
    const same = await run(['parity', join(folder, file), ...sides(like)]);
    await like.stop();
    expect(same).toMatchObject({ status: exitCodes.done, out: expect.stringMatching(/^same /) });
  });

  test('without a way to reset says that it cannot make anything shorter', async () => {
    const { status, out } = await run(['fuzz', ...sides(), ...openapi()]);
    expect(status).toBe(exitCodes.failed);
    expect(out).toContain('not made shorter: without --reset');
  });

  test('finds nothing between a side and one like it, and reports it as JSON', async () => {
    const like = await startNotes({ firstId: 1 });
    const { status, out } = await run(['fuzz', ...sides(like), ...openapi(), '--runs', '5', '--json']);
    await like.stop();
    expect(status).toBe(exitCodes.done);
    expect(JSON.parse(out)).toMatchObject({ seed: 1, runs: 5, found: null, file: null });
  });

  test('reads tokens from files and never prints one', async () => {
    await writeFile(join(folder, 'token'), 'admin-token\n');
    const words = ['--left', left.url, '--right', right.url, '--token', `admin=@${join(folder, 'token')}`];
    const { out, err } = await run(['fuzz', ...words, ...openapi(), '--json']);
    expect(JSON.parse(out).coverage['POST /notes'][201]).toBeGreaterThan(0);
    expect(out + err).not.toContain('admin-token');
  });

  test.each([
    [
      '--left',
      ['fuzz', '--openapi', 'x', '--right', 'http://127.0.0.1:1'],
      '--left: expected http://host:port, found nothing',
    ],
    ['--openapi', ['fuzz', '--left', 'http://127.0.0.1:1', '--right', 'http://127.0.0.1:1'], '--openapi'],
    [
      '--token',
      ['fuzz', '--token', 'secret', '--openapi', 'x'],
      '--token: expected role=token, found something else of 6',
    ],
    [
      'databases',
      ['fuzz', '--openapi', 'x', '--left', 'http://a', '--right', 'http://b', '--left-database', 'mysql://a/b'],
      'together',
    ],
    ['--runs', ['fuzz', '--runs', 'many'], '--runs: expected a whole number'],
    ['--slices', ['fuzz', '--openapi', 'x', '--slice', 'notes'], 'expected --slices <folder>'],
    ['scenario', ['parity', '/nowhere.json', '--left', 'http://a', '--right', 'http://b'], 'nowhere.json'],
  ])('refuses a wrong %s before anything is sent', async (_what, words, says) => {
    const { status, err } = await run(words);
    expect(err).toContain(says);
    expect([exitCodes.usage, exitCodes.failed]).toContain(status);
    expect(left.requests() + right.requests()).toBe(0);
  });

  test('says what is wrong with the description, and not that the sides differ', async () => {
    const none = await run(['fuzz', ...sides(), '--openapi', join(folder, 'none.json')]);
    expect(none.status).toBe(exitCodes.usage);
    expect(none.err).toMatch(/^strangler: --openapi: .*none\.json: expected an OpenAPI description, found ENOENT/);
    const unwanted = await run(['fuzz', ...sides(), ...openapi(), '--only', '/books']);
    expect(unwanted.status).toBe(exitCodes.usage);
    expect(unwanted.err).toMatch(
      /^strangler: --openapi: expected operations of any route, paths that begin with \/books in .*, found none among its 5$/,
    );
    expect(left.requests() + right.requests()).toBe(0);
  });

  test('a reset that fails ends it, with what the command said', async () => {
    const { status, err } = await run(['fuzz', ...sides(), ...openapi(), '--reset', 'echo no snapshot; exit 3']);
    expect(status).toBe(exitCodes.failed);
    expect(err).toContain('exit status 3');
    expect(err).toContain('no snapshot');
  });

  test('a side that does not answer is no difference', async () => {
    const away = { url: `http://127.0.0.1:${await freePort()}` } as NotesServer;
    const { status, err } = await run(['fuzz', ...sides(away), ...openapi()]);
    expect(status).toBe(exitCodes.unreachable);
    expect(err).toMatch(/right \(http.*GET \/notes: .*ECONNREFUSED/);
  });
});
