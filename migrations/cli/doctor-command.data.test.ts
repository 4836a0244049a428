import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import type { Check } from '../doctor/check.ts';
import { ensureFenceRow, fenceTable } from '../engine/fence/fence-state.ts';
import { type CliPipe, cliPipe } from './pipe-commands.fixture.ts';

let pipe: CliPipe;
let redis: TcpProxy;
let flags: ReturnType<typeof openFlagStore>;

beforeAll(async () => {
  pipe = await cliPipe('doctor');
  const { redisUrl, rabbitmqUrl, consulUrl } = testServers();
  redis = await startTcpProxy(redisUrl);
  const address = `consul://${new URL(consulUrl).host}/t_doctor_${crypto.randomUUID()}`;
  flags = openFlagStore(address, { log: createLog({ name: 'test', level: 'silent' }) });
  Object.assign(pipe.environment, { STRANGLER_FLAGS: address, RABBITMQ_URL: rabbitmqUrl, REDIS_URL: redis.url });
});
afterAll(async () => {
  flags?.close();
  await redis?.close();
  await pipe?.close();
});

/** What `strangler doctor` says, without the clocks and disk of the machine that the test runs on. */
const doctor = async (more = '') => {
  const { status, events, err } = await pipe.run(`doctor fixture --json ${more}`.trim());
  const checks = ((events[0] as { checks?: Check[] } | undefined)?.checks ?? []).filter(
    ({ check }) => check !== 'disk-space' && check !== 'database-time-zone' && check !== 'proxies-live',
  );
  const wrong = checks.filter(({ outcome }) => outcome === 'fail').map(({ check }) => check);
  return { status, err, checks, wrong, of: (name: string) => checks.filter(({ check }) => check === name) };
};

const setFlag = (edit: Partial<FlagDocument>) =>
  changeFlag(flags.store, 'fixture', (document) => ({ ...document, ...edit }), { by: 'test', reason: 'test' });

test('before a slice has begun all is well but that nobody publishes its outbox, and each check says what it found', async () => {
  const { status, checks, wrong, of } = await doctor();
  expect(wrong).toEqual(['outbox-relay']);
  expect(status).toBe(1);
  for (const check of ['database-answers', 'database-version', 'database-clock', 'broker-answers', 'redis-answers'])
    expect([check, of(check).map(({ outcome }) => outcome)]).toEqual([check, of(check).map(() => 'ok')]);
  expect(of('flags-sessions')).toMatchObject([{ outcome: 'ok', found: 'written and gone' }]);
  for (const { outcome, found, next } of checks)
    expect([found !== '', next === null]).toEqual([true, outcome === 'ok']);
  // Nothing that a server would be logged in at with.
  expect(JSON.stringify(checks)).not.toMatch(/:\/\/[^"/]*:[^"/]*@/);
});

test('Redis that is cut off fails its check and no other, in bounded time, and the table says what to do', async () => {
  await redis.refuse();
  const { wrong } = await doctor();
  const { out, err, status } = await pipe.run('doctor fixture');
  await redis.pass();
  expect(wrong).toEqual(['outbox-relay', 'redis-answers']);
  expect(out).toMatch(/^fail +redis-answers .*\n/m);
  expect(out).toMatch(/^redis-answers, .*\$REDIS_URL/m);
  expect([status, err]).toEqual([1, expect.stringMatching(/^strangler: 2 of \d+ checks failed$/)]);
});

test('an account that may not make triggers, and a database that is not there, are told of by name', async () => {
  const { STRANGLER_SOURCE = '', STRANGLER_TARGET = '' } = pipe.environment;
  const account = new URL(pipe.sides.sourceUrl);
  await pipe.sides.source.query(
    `REVOKE TRIGGER ON \`${pipe.sides.sourceDatabase.replaceAll('_', '\\_')}\`.* FROM ?@'%'`,
    [account.username],
  );
  pipe.environment.STRANGLER_SOURCE = pipe.sides.sourceUrl;
  const revoked = await doctor();
  expect(revoked.of('slice-privilege-missing').map(({ found }) => found)).toContainEqual(
    expect.stringContaining('lacks TRIGGER'),
  );
  pipe.environment.STRANGLER_TARGET = STRANGLER_TARGET.replace(/:\d+\//, ':1/');
  const gone = await doctor();
  pipe.environment.STRANGLER_SOURCE = STRANGLER_SOURCE;
  pipe.environment.STRANGLER_TARGET = STRANGLER_TARGET;
  expect(gone.of('database-answers')).toMatchObject([
    { outcome: 'ok', where: expect.stringContaining('source') },
    { outcome: 'fail', where: expect.stringContaining('127.0.0.1:1/'), found: expect.stringContaining('ECONNREFUSED') },
  ]);
});

test('once captured: queues without an applier, changes that wait, and a writer that says nothing of itself', async () => {
  await pipe.capture();
  await setFlag({ stage: 'sync' });
  await pipe.sides.source.query('INSERT INTO plain VALUES (1, "a@example.org", 1)');
  await pipe.sides.source.query('UPDATE strangler_outbox SET created_at = created_at - INTERVAL 2 MINUTE');
  const { wrong, of } = await doctor();
  expect(wrong).toEqual(expect.arrayContaining(['outbox-relay', 'outbox-age', 'broker-queues']));
  expect(of('writers-known')).toMatchObject([{ outcome: 'warn', found: expect.stringContaining('1 to plain') }]);
});

test('a fence that was left closed, a hold whose deadline is over, a proxy that is silent and a document that is none', async () => {
  await ensureFenceRow(pipe.sides.source, { slice: 'fixture', state: 'closed', epoch: 1, owner: 'monolith' });
  const closed = await doctor();
  expect(closed.of('fences-agree')).toMatchObject([
    { outcome: 'fail', found: expect.stringContaining('the fence of the monolith, which owns the writes, is closed') },
  ]);
  await pipe.sides.source.query(`DROP TABLE ${fenceTable}`);

  const deadline = new Date(Date.now() - 60_000).toISOString();
  await setFlag({ stage: 'reads', writes: { owner: 'held', from: 'monolith', to: 'service', deadline } });
  const { out } = await pipe.run('doctor fixture --proxy http://127.0.0.1:1');
  expect(out).toMatch(/^fail +cutover-at-its-end .*the deadline was/m);
  expect(out).toMatch(/^fail +proxies-live +http:\/\/127\.0\.0\.1:1/m);
});

test('a slice file that cannot be read, and a slice that is none', async () => {
  expect(await pipe.run('doctor nothing')).toMatchObject({ status: 2, err: expect.stringContaining('"nothing"') });
  const { STRANGLER_SLICES = '' } = pipe.environment;
  await writeFile(join(STRANGLER_SLICES, 'fixture/slice.yaml'), 'slice: fixture\nrouts: []\n');
  const { out, status } = await pipe.run('doctor');
  expect(status).toBe(1);
  expect(out).toMatch(/^fail +slice-files .*routs/m);
});
