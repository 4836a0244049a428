import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { rowMessageOf } from '../../contracts/row-message.ts';
import { createLanes } from '../lanes.ts';
import { messageOf, type OutboxRow } from '../message.ts';
import { boundsToAdd, closedPartitions } from '../rotation.ts';
import { declarations } from '../topology.ts';
import { planLeases } from './lease-plan.ts';
import { batchLimit, createWake, defaultPace, expectedRowBytes, nextPollMs } from './pace.ts';
import { createTurns } from './turns.ts';
import { createWindow, type HeldRow } from './window.ts';

describe('sharing leases', () => {
  const owners = fc.uniqueArray(fc.stringMatching(/^[a-e]$/), { minLength: 1, maxLength: 5 });

  test('relays that see the same members reach equal shares in two rounds, taking nothing that is held', () => {
    fc.assert(
      fc.property(
        owners,
        fc.array(fc.option(fc.stringMatching(/^[a-e]$/)), { minLength: 16, maxLength: 16 }),
        (live, held) => {
          let leases = held.map((owner, part) => ({
            part,
            owner: owner !== null && live.includes(owner) ? owner : undefined,
          }));
          for (let round = 0; round < 2; round += 1) {
            const plans = live.map((me) => ({ me, ...planLeases(me, live, leases) }));
            leases = leases.map(({ part, owner }) => {
              if (owner !== undefined && plans.some(({ me, release }) => me === owner && release.includes(part)))
                return { part, owner: undefined };
              const taker = plans.find(({ take }) => take.includes(part));
              if (taker !== undefined) expect(owner).toBeUndefined();
              return { part, owner: owner ?? taker?.me };
            });
          }
          // Two at once may want the same free part; a third round settles that.
          for (const me of live) {
            const { take } = planLeases(me, live, leases);
            leases = leases.map(({ part, owner }) => ({
              part,
              owner: owner ?? (take.includes(part) ? me : undefined),
            }));
          }
          const counts = live.map((me) => leases.filter(({ owner }) => owner === me).length);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
          expect(counts.reduce((a, b) => a + b, 0)).toBe(16);
        },
      ),
    );
  });

  test('with more relays than parts some have none, and none is taken back and forth', () => {
    const live = Array.from({ length: 20 }, (_, n) => `relay-${String(n).padStart(2, '0')}`);
    const leases = Array.from({ length: 16 }, (_, part) => ({ part, owner: live[part] }));
    for (const me of live) expect(planLeases(me, live, leases)).toEqual({ take: [], release: [] });
  });
});

describe('the window of rows', () => {
  const row = (id: number, key: string): HeldRow => ({
    id: String(id),
    part: key.charCodeAt(0) % 2,
    kind: 'row',
    epoch: 1,
    topic: 't',
    subject: 's',
    subjectKey: key,
    op: 'upsert',
    payload: '{}',
    headers: '{}',
    at: '',
    token: '1',
    state: 'waiting',
    refusals: 0,
    ageAtReadMs: 0,
    readAtMs: 0,
  });
  const step = fc.constantFrom(
    'read',
    'send',
    'confirm',
    'refuse',
    'retry',
    'mark',
    'lose channel',
    'lose part',
    'give part',
  );

  test('whatever is refused, lost, dropped and read again: no row is sent before every earlier one of its key is confirmed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 40 }),
        fc.array(fc.tuple(step, fc.nat()), { maxLength: 400 }),
        (keys, steps) => {
          const window = createWindow();
          const confirmed = new Set<string>();
          const marked = new Set<string>();
          let sent: HeldRow[] = [];
          let refused: HeldRow[] = [];
          let toMark: HeldRow[] = [];
          const pick = <T>(from: T[], n: number): T | undefined => from[n % Math.max(1, from.length)];
          const read = (n: number) => {
            const part = n % 2;
            const held = new Set(window.ids(part));
            const rows = keys.map((key, at) => row(at + 1, key));
            const pending = rows.filter((each) => each.part === part && !marked.has(each.id) && !held.has(each.id));
            window.add(pending.slice(0, 1 + (n % 5)));
          };
          const send = () => {
            const next = window.take();
            if (next === undefined) return;
            const earlier = keys.flatMap((key, at) =>
              key === next.subjectKey && at + 1 < Number(next.id) ? [String(at + 1)] : [],
            );
            for (const id of earlier) expect(confirmed.has(id)).toBe(true);
            sent.push(next);
          };
          const settle = (n: number, how: 'confirm' | 'refuse') => {
            const one = pick(sent, n);
            if (one === undefined) return;
            sent = sent.filter((other) => other !== one);
            if (how === 'refuse') {
              window.refuse(one);
              refused.push(one);
              return;
            }
            window.confirm(one);
            // Even of one that was dropped the broker has the message.
            confirmed.add(one.id);
            if (one.state === 'confirmed') toMark.push(one);
          };
          for (const [what, n] of steps) {
            if (what === 'read') read(n);
            else if (what === 'send') send();
            else if (what === 'confirm' || what === 'refuse') settle(n, what);
            else if (what === 'retry') {
              const one = pick(refused, n);
              refused = refused.filter((other) => other !== one);
              if (one !== undefined) window.retry(one);
            } else if (what === 'mark') {
              const rows = toMark.filter(({ state }) => state === 'confirmed');
              for (const { id } of rows) marked.add(id);
              window.marked(rows);
              toMark = [];
            } else if (what === 'lose channel') {
              window.dropUnconfirmed();
              sent = [];
            } else if (what === 'lose part') window.drop(n % 2);
            else window.dropUnsent(n % 2);
          }
          // And all of it leaves in the end.
          for (let n = 0; n < 400 && marked.size < keys.length; n += 1) {
            read(n);
            for (const one of refused.splice(0)) window.retry(one);
            for (let k = 0; k < 5; k += 1) send();
            while (sent.length > 0) settle(0, 'confirm');
            const rows = toMark.splice(0).filter(({ state }) => state === 'confirmed');
            for (const { id } of rows) marked.add(id);
            window.marked(rows);
          }
          expect(marked.size).toBe(keys.length);
          expect([window.rows(), window.weight(), window.sent(), window.refused()]).toEqual([0, 0, 0, 0]);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the lanes of a consumer', () => {
  test('hand out each key’s items in order, one batch of a key at a time, and all of them in the end', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'b', 'c')), fc.infiniteStream(fc.nat(9)), (keys, dice) => {
        const roll = () => dice.next().value as number;
        const lanes = createLanes<number>();
        const inHand = new Map<string, number[]>();
        const done = new Map<string, number[]>();
        const begin = () => {
          for (const { key, items } of lanes.take(1 + (roll() % 3))) {
            expect(inHand.has(key)).toBe(false);
            inHand.set(key, items);
          }
        };
        const end = (again: boolean) => {
          const [key, items] = [...inHand][roll() % Math.max(1, inHand.size)] ?? [];
          if (key === undefined || items === undefined) return;
          inHand.delete(key);
          const from = again ? roll() % (items.length + 1) : items.length;
          done.set(key, [...(done.get(key) ?? []), ...items.slice(0, from)]);
          lanes.release(key, items.slice(from));
        };
        keys.forEach((key, at) => {
          lanes.add(key, at);
          if (roll() < 5) begin();
          if (roll() < 5) end(roll() < 3);
        });
        while (lanes.waiting() > 0 || inHand.size > 0) {
          begin();
          end(false);
        }
        for (const key of new Set(keys))
          expect(done.get(key)).toEqual(keys.flatMap((each, at) => (each === key ? [at] : [])));
      }),
    );
  });
});

describe('the message of a row', () => {
  const text = fc.string({ unit: 'binary' });

  test('of a captured change is the contract’s, though the payload is not parsed', () => {
    // No object of the contract's has a column of this name.
    const column = text.filter((name) => name !== '__proto__');
    const image = fc.option(fc.dictionary(column, fc.option(text)));
    fc.assert(
      fc.property(
        fc.dictionary(column, text),
        image,
        text,
        text,
        fc.option(text, { nil: undefined }),
        fc.bigInt(0n, 2n ** 64n - 1n),
        (key, rowImage, subjectKey, user, request, id) => {
          const row: OutboxRow = {
            id: String(id),
            part: 3,
            kind: 'row',
            epoch: 7,
            topic: 'catalog.products.upsert',
            subject: 'products',
            subjectKey,
            op: rowImage === null ? 'delete' : 'upsert',
            payload: JSON.stringify({ key, image: rowImage }),
            headers: JSON.stringify({ user, request: request ?? null }),
            at: '2026-07-01T10:20:30.123456Z',
          };
          const { body, properties } = messageOf(row, 'uuid');
          const expected = rowMessageOf({ ...row, createdAt: '2026-07-01 10:20:30.123456' });
          expect(JSON.parse(body.toString())).toEqual(JSON.parse(JSON.stringify(expected)));
          expect(properties).toMatchObject({ messageId: `uuid/${id}`, persistent: true, mandatory: true });
        },
      ),
    );
  });

  test('with headers that are not JSON is still a message', () => {
    const row = { kind: 'row', topic: 'a.b.c', subject: 'b', subjectKey: '1', op: 'c', payload: '{"key":{}}' } as const;
    const { body } = messageOf(
      { ...row, id: '1', part: 0, epoch: 1, headers: 'no', at: '2026-07-01T10:20:30.123456Z' },
      's',
    );
    expect(JSON.parse(body.toString())).toMatchObject({ slice: 'a', writer: { user: '' } });
  });
});

describe('the pace of reading', () => {
  test('is at once while there is more, and falls to the idle poll within ten empty reads', () => {
    expect(nextPollMs(250, 'more', defaultPace)).toBe(0);
    expect(nextPollMs(250, 'some', defaultPace)).toBe(defaultPace.minMs);
    let ms = 0;
    for (let n = 0; n < 10; n += 1) ms = nextPollMs(ms, 'none', defaultPace);
    expect(ms).toBe(250);
  });

  test('is of as many rows as fit into memory, and fewer at once when they are large', () => {
    expect(batchLimit(1000, 8_000_000, 1_000)).toBe(1000);
    expect(batchLimit(1000, 8_000_000, 1_000_000)).toBe(8);
    expect(batchLimit(1000, 8_000_000, 1e9)).toBe(1);
    expect(expectedRowBytes(1_000, 5_000_000, 5)).toBe(1_000_000);
    expect(expectedRowBytes(1_000_000, 5_000, 5)).toBeGreaterThan(800_000);
    expect(expectedRowBytes(1_000, 0, 0)).toBe(1_000);
  });

  test('a wake-up ends a wait at once, also one that came before it', async () => {
    const wake = createWake();
    wake.wake();
    await wake.wait(600_000);
    const waiting = wake.wait(600_000);
    wake.wake();
    await waiting;
  });
});

test('turns are taken in order, also after a failure', async () => {
  const inTurn = createTurns();
  const done: string[] = [];
  const slow = inTurn(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    done.push('slow');
    throw new Error('no');
  });
  const next = inTurn(async () => done.push('next'));
  await expect(slow).rejects.toThrow('no');
  await next;
  expect(done).toEqual(['slow', 'next']);
});

describe('partitions', () => {
  test('however far the counter is, so many empty ones stand ahead of it, and all bounds grow by whole steps', () => {
    fc.assert(
      fc.property(
        fc.bigInt(1n, 10_000n),
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        (nextId, there, ahead) => {
          const partitions = [
            ...Array.from({ length: there }, (_, at) => ({ name: `${at}`, bound: 100n * BigInt(at + 1) })),
            { name: 'rest', bound: undefined },
          ];
          const added = boundsToAdd(partitions, nextId, { ahead, rows: 100n });
          const bounds = [...partitions.flatMap(({ bound }) => bound ?? []), ...added];
          expect(bounds).toEqual([...bounds].sort((a, b) => Number(a - b)));
          expect(new Set(bounds).size).toBe(bounds.length);
          const empty = bounds.filter((_, at) => (bounds[at - 1] ?? 0n) >= nextId).length;
          expect(empty).toBeGreaterThanOrEqual(ahead);
          for (const bound of added) expect(bound % 100n).toBe(0n);
          for (const { bound } of closedPartitions(partitions, nextId)) expect(bound! < nextId).toBe(true);
        },
      ),
    );
  });
});

describe('the topology', () => {
  test('names every fault of a consumer’s name', () => {
    const consumer = (name: string) => ({ name, patterns: ['#'], order: 'none' as const });
    const declared = (...consumers: ReturnType<typeof consumer>[]) => declarations({ exchange: 'outbox', consumers });
    expect(() => declared(consumer('a b'))).toThrow(/found "a b"/);
    expect(() => declared(consumer('a'), consumer('a'))).toThrow(/found it twice/);
    expect(() => declared({ ...consumer('a'), patterns: [] })).toThrow(/expected a pattern/);
  });

  test('gives every quorum queue a bound, a delivery limit or a time, and somewhere for what it gives up', () => {
    const all = declarations({
      exchange: 'outbox',
      consumers: [
        { name: 'a', patterns: ['#'], order: 'none' },
        { name: 'b', patterns: ['#'], order: 'by key' },
      ],
    });
    const queues = all.flatMap((each) => (each.kind === 'queue' ? [each] : []));
    expect(queues).toHaveLength(1 + 1 + 3 + 1 + 16);
    for (const { name, arguments: args } of queues) {
      expect(args).toMatchObject({ 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish' });
      expect(args['x-max-length']).toBeGreaterThan(0);
      expect(args['x-delivery-limit'] ?? args['x-message-ttl']).toBeGreaterThan(0);
      if (!name.endsWith('.dead')) expect(args['x-dead-letter-strategy']).toBe('at-least-once');
    }
  });
});
