import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { problems } from '@strangler/platform/http/problem.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { Registry } from 'prom-client';
import { migrateUp } from '../database.ts';
import { type Answer, type AnswerOnce, createAnswerOnce, type KeyedRequest } from './answer-once.ts';

let database: FreshDatabase;
let pool: Pool;
let once: AnswerOnce;
let now = new Date('2026-01-01T00:00:00.000Z');
let lastKey = 0;

beforeAll(async () => {
  database = await freshDatabase('answers');
  await migrateUp(database.url, createLog({ name: 'test', level: 'silent' }));
  pool = createPool(database.url, { connectionLimit: 8 });
  const timings = { leaseMs: 10_000, keepMs: 60_000 };
  once = createAnswerOnce({ pool, clock: { now: () => now }, timings, metrics: new Registry() });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

const later = (ms: number) => {
  now = new Date(now.getTime() + ms);
};
const keyed = (more: Partial<KeyedRequest> = {}): KeyedRequest => {
  lastKey += 1;
  return { caller: 'account:1', key: `key-${lastKey}`, operation: 'POST /x', body: { a: 1, b: 2 }, ...more };
};
const answer = (body: string): Answer => ({ status: 201, type: 'application/json', location: '/x/1', body });

/** Begins a run of the request, and resolves when it is under way. */
async function begin(request: KeyedRequest): Promise<{ finish(answer: Answer): void; ended: Promise<unknown> }> {
  let finish: (answer: Answer) => void = () => {};
  let ended: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve) => {
    const work = () => {
      resolve();
      return new Promise<Answer>((finished) => {
        finish = finished;
      });
    };
    ended = once.answer(request, work);
    // What becomes of it is looked at later, or by nobody.
    ended.catch(() => {});
  });
  return { finish, ended };
}

const never = () => new Promise<Answer>(() => {});

describe('a keyed request', () => {
  test('is run once and answered the same ever after, whatever the order of its members', async () => {
    const request = keyed();
    expect(await once.answer(request, async () => answer('first'))).toEqual({
      answer: answer('first'),
      replayed: false,
    });
    const again = { ...request, body: { b: 2, a: 1 } };
    expect(await once.answer(again, never)).toEqual({ answer: answer('first'), replayed: true });
  });

  test.each([
    ['another body', { body: { a: 1, b: 3 } }],
    ['another operation', { operation: 'POST /y' }],
  ])('with %s is refused', async (_name, more) => {
    const request = keyed();
    await once.answer(request, async () => answer('first'));
    await expect(once.answer({ ...request, ...more }, never)).rejects.toMatchObject({ status: 422 });
  });

  test('of another caller has nothing to do with it', async () => {
    const request = keyed();
    await once.answer(request, async () => answer('first'));
    const other = await once.answer({ ...request, caller: 'account:2' }, async () => answer('second'));
    expect(other.answer.body).toBe('second');
  });

  test('that still runs is answered 409 until its lease ends, and is then taken over', async () => {
    const request = keyed();
    await begin(request);
    const busy = () => once.answer(request, async () => answer('mine'));
    later(4_000);
    await expect(busy()).rejects.toMatchObject({ status: 409, headers: { 'retry-after': '6' } });
    later(6_001);
    expect((await busy()).answer.body).toBe('mine');
  });

  test('whose run lost its lease does not overwrite the answer of the one that took over', async () => {
    const request = keyed();
    const slow = await begin(request);
    later(10_001);
    await once.answer(request, async () => answer('taken over'));
    slow.finish(answer('too late'));
    await expect(slow.ended).rejects.toMatchObject({ status: 409 });
    expect((await once.answer(request, never)).answer.body).toBe('taken over');
  });

  test('by many at once is run once', async () => {
    const request = keyed();
    let runs = 0;
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        once.answer(request, async () => {
          runs += 1;
          return answer('once');
        }),
      ),
    );
    expect(runs).toBe(1);
    for (const one of all) if (one.status === 'rejected') expect(one.reason).toMatchObject({ status: 409 });
  });

  test('that was refused keeps the refusal; one that failed is free to run again', async () => {
    const [refused, failed] = [keyed(), keyed()];
    const refuse = () => Promise.reject(problems.conflict('no'));
    expect((await once.answer(refused, refuse)).answer).toMatchObject({ status: 409 });
    expect((await once.answer(refused, never)).replayed).toBe(true);
    await expect(once.answer(failed, () => Promise.reject(problems.unavailable(1)))).rejects.toMatchObject({
      status: 503,
    });
    expect((await once.answer(failed, async () => answer('now'))).answer.body).toBe('now');
  });

  test('is forgotten after its time', async () => {
    const request = keyed();
    await once.answer(request, async () => answer('first'));
    later(60_001);
    await once.forgetOld();
    expect((await once.answer(request, async () => answer('second'))).answer.body).toBe('second');
  });
});
