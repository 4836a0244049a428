import { expect, test } from '@jest/globals';
import { hashApiKey } from '@strangler/platform/api-keys.ts';
import { createLog } from '@strangler/platform/log.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';

const run = async (line: string, environment: Record<string, string> = {}) => {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runProgram(line.split(' '), {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment,
    log: createLog({ name: 'test', level: 'silent' }),
    signal: AbortSignal.abort(),
  });
  return { status, out: out.join('\n'), err: err.join('\n') };
};

test('a new key is printed once, beside the line that holds its hash; hashing it later gives the same line', async () => {
  const { out, status } = await run('gateway key new partner-a');
  const [key = '', , line = ''] = out.split('\n');
  expect(status).toBe(exitCodes.done);
  expect(key).toMatch(/^sgk_[A-Za-z0-9_-]{32}$/);
  expect(line).toBe(`  - { name: partner-a, sha256: ${hashApiKey(key).toString('hex')} }`);
  expect((await run('gateway key hash partner-a', { API_KEY: key })).out).toBe(line);
  expect((await run('gateway key new partner-a')).out).not.toContain(key);
});

test('a key that could be guessed is not hashed, nor shown', async () => {
  for (const API_KEY of ['', 'secret', 'sgk_short', 'with spaces in it but long enough']) {
    const { status, err } = await run('gateway key hash partner', { API_KEY });
    expect(status).toBe(exitCodes.usage);
    expect(err).toContain('expected a key of 22 visible characters or more');
    if (API_KEY !== '') expect(err).not.toContain(API_KEY);
  }
  expect((await run('gateway key new Partner')).status).toBe(exitCodes.usage);
});
