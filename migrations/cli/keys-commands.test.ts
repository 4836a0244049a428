import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { createTokenVerifier } from '@strangler/platform/service-trust/token-verifier.ts';
import { openTrustBundle } from '@strangler/platform/service-trust/trust-bundle.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keys-'));
});
afterEach(() => rm(folder, { recursive: true }));

const run = async (line: string, environment: Record<string, string> = { SERVICE_KEYS: folder }) => {
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

test('keys are made, changed in three steps that wait for each other, and shown', async () => {
  const made = await run('keys init shop --calls catalog,payments');
  expect(made.out).toMatch(
    /^shop: made key (\S+), may call catalog, payments\nSERVICE_KEY_FILE=.*\/shop\/key\.json\nSERVICE_TRUST_FILE=.*\/trust\/trust\.json$/,
  );
  expect((await run('keys init shop --calls catalog')).out).toMatch(/^shop: kept key \S+, may call catalog\n/);
  expect((await stat(join(folder, 'shop/key.json'))).mode & 0o777).toBe(0o600);
  expect((await run('keys show')).out).toMatch(/^CALLER +MAY CALL +KEY +PUBLISHED\nshop +catalog +\S+ +\S+$/);

  expect((await run('keys rotate shop')).out).toMatch(
    /is published, and the old one signs; next: strangler keys rotate shop$/,
  );
  const early = await run('keys rotate shop');
  expect([early.status, early.err]).toEqual([
    exitCodes.refused,
    expect.stringMatching(/may not have reached every process yet, and nothing was changed; try again in [56]\d s$/),
  ]);
  expect((await run('keys rotate shop --settle 0s')).out).toMatch(
    /signs, and the old one is still accepted; next: strangler keys retire shop$/,
  );
  expect((await run('keys retire shop')).status).toBe(exitCodes.refused);
  expect(JSON.parse((await run('keys show --json')).out).shop.keys).toHaveLength(2);
  expect((await run('keys retire shop --now')).out).toMatch(/is no longer accepted$/);
  expect(JSON.parse((await run('keys show --json')).out).shop.keys).toHaveLength(1);
  expect((await run('keys retire shop --now')).err).toMatch(
    /there is no key that signs no more, and nothing was changed/,
  );
});

test('several commands at once leave a file that holds all of what they did', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const all = await Promise.all(names.map((name) => run(`keys init ${name} --calls shop`)));
  expect(all.map(({ status }) => status)).toEqual(names.map(() => exitCodes.done));
  expect(Object.keys((await openKeyFolder(folder).trust()).callers).sort()).toEqual(names);
});

test('keys token prints a header that the service takes, and that shows no key', async () => {
  await run('keys init operator --calls notifications');
  const { out } = await run('keys token operator --to notifications');
  const bundle = await openTrustBundle(await openKeyFolder(folder).trust());
  const verifier = createTokenVerifier({ self: 'notifications', bundle: () => bundle });
  expect(await verifier.verify(out.replace('x-service-token: ', ''))).toEqual({ kind: 'valid', caller: 'operator' });
});

test.each([
  [
    'keys init shop --calls catalog',
    {},
    exitCodes.usage,
    '--dir: expected the folder in which keys are made, found none',
  ],
  ['keys rotate ../shop', undefined, exitCodes.usage, 'expected the name of a service'],
  [
    'keys rotate shop',
    undefined,
    exitCodes.failed,
    'trust.json: expected a file, found none; make it with: strangler keys init',
  ],
  ['keys init shop', undefined, exitCodes.usage, '--calls'],
])('%s with %j ends with the reason', async (line, environment, status, reason) => {
  const refused = await run(line, environment);
  expect([refused.status, refused.err]).toEqual([status, expect.stringContaining(reason)]);
});
