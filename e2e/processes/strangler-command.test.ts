import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { runStranglerCommand, type StranglerCommand } from './strangler-command.ts';

describe('strangler as a process of its own', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'command-'));
    await writeFile(join(folder, 'flags.json'), '{}');
  });
  afterAll(() => rm(folder, { recursive: true }));

  const run = (line: string, more: Partial<StranglerCommand> = {}) =>
    runStranglerCommand({
      words: line.split(' '),
      environment: { STRANGLER_FLAGS: `file://${folder}/flags.json`, STRANGLER_SLICES: folder },
      user: 'ada',
      signal: new AbortController().signal,
      ...more,
    });

  test('tells what it prints, as it prints it, and comes to its end', async () => {
    const heard: unknown[] = [];
    const { status, events } = await run('flag history catalog', { onEvent: (event) => heard.push(event) });
    expect(status).toBe(exitCodes.done);
    expect(events).toEqual([[]]);
    expect(heard).toEqual(events);
  });

  test('ends with the status and the words of a refusal', async () => {
    const { status, events, said } = await run('flag history catalog --limit many');
    expect([status, events]).toEqual([exitCodes.usage, []]);
    expect(said).toMatch(/--limit/);
  });

  test('is killed by who hears the event for it', async () => {
    const { status, events } = await run('status --watch', { onEvent: (_, kill) => kill() });
    expect(status).toBe('SIGKILL');
    expect(events).toHaveLength(1);
  });

  test('is ended by its signal, and not begun after it', async () => {
    const stop = new AbortController();
    const signal = stop.signal;
    const watching = run('status --watch', { signal, onEvent: () => stop.abort(new Error('enough')) });
    await expect(watching).rejects.toThrow('enough');
    await expect(run('status', { signal })).rejects.toThrow('enough');
  });

  test('that is heard by somebody who fails does not go on', async () => {
    const onEvent = () => {
      throw new Error('no room');
    };
    await expect(run('status --watch', { onEvent })).rejects.toThrow('strangler status --watch: no room');
  });
});
