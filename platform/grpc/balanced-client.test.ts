import path from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { eventually } from '../testing/eventually.ts';
import {
  type BalancedGrpcClient,
  type BalancedGrpcClientOptions,
  createBalancedGrpcClient,
} from './balanced-client.ts';
import { GrpcError } from './errors.ts';
import { type GrpcMethod, type RunningGrpcServer, startGrpcServer } from './server.ts';

const protoPath = path.join(import.meta.dirname, 'ledger.fixture.proto');
const packageName = 'ledger.v1';
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Balance = { account_id: number; amount_cents: number; seen_request_id: string };
type Ledger = { server: RunningGrpcServer; calls: () => number };

async function ledger(name: string, methods: Record<string, GrpcMethod> = {}): Promise<Ledger> {
  let calls = 0;
  const GetBalance: GrpcMethod = async (request, call) => {
    calls += 1;
    const answer = methods.GetBalance?.(request, call) as Promise<object> | undefined;
    return (await answer) ?? { account_id: 1, amount_cents: 1, seen_request_id: name };
  };
  const Follow: GrpcMethod =
    methods.Follow ??
    async function* () {
      yield { account_id: 1, amount_cents: 1, seen_request_id: name };
    };
  const server = await startGrpcServer({
    host: '127.0.0.1',
    port: 0,
    protoPath,
    packageName,
    implementations: { Ledger: { GetBalance, Follow } },
    log: pino({ level: 'silent' }),
  });
  closers.push(() => server.drain(0));
  return { server, calls: () => calls };
}

function clientOf(
  addresses: string[],
  options: Partial<BalancedGrpcClientOptions> = {},
): { client: BalancedGrpcClient; addresses: string[] } {
  const client = createBalancedGrpcClient({
    instances: { now: () => addresses, first: Promise.resolve(), stop: async () => {} },
    protoPath,
    packageName,
    serviceName: 'Ledger',
    deadlineMs: 20_000,
    ...options,
  });
  closers.push(() => client.close());
  return { client, addresses };
}

const addressesOf = (...ledgers: Ledger[]) => ledgers.map(({ server }) => server.address);
const ask = (client: BalancedGrpcClient, more = {}) => client.call<Balance>('GetBalance', { id: 1 }, more);

describe('calls of several instances', () => {
  test('go to each in turn', async () => {
    const all = [await ledger('a'), await ledger('b'), await ledger('c')];
    const { client } = clientOf(addressesOf(...all));
    for (let n = 0; n < 9; n += 1) await ask(client);
    expect(all.map(({ calls }) => calls())).toEqual([3, 3, 3]);
  });

  test('go to the one with the fewest under way', async () => {
    const release = Promise.withResolvers<object>();
    const slow = await ledger('slow', { GetBalance: () => release.promise });
    const quick = await ledger('quick');
    const { client } = clientOf(addressesOf(slow, quick));
    const stuck = Promise.all([ask(client), ask(client)]);
    await eventually(() => slow.calls() > 0);
    for (let n = 0; n < 6; n += 1) expect((await ask(client)).seen_request_id).toBe('quick');
    expect(client.outstanding()).toMatchObject({ [slow.server.address]: 1, [quick.server.address]: 0 });
    release.resolve({ account_id: 1, amount_cents: 1, seen_request_id: 'slow' });
    await stuck;
    await eventually(() => Object.values(client.outstanding()).every((count) => count === 0));
  });

  test('go to another when one is away, if they are idempotent, and leave it out afterwards', async () => {
    const [gone, there] = [await ledger('gone'), await ledger('there')];
    const { client } = clientOf(addressesOf(gone, there), { ejectMs: 60_000 });
    await gone.server.drain(0);
    const retried: number[] = [];
    const counted = clientOf(addressesOf(gone, there), {
      ejectMs: 60_000,
      onRetry: (_method, attempt) => void retried.push(attempt),
    }).client;
    for (let n = 0; n < 6; n += 1) {
      expect((await ask(counted, { idempotent: true })).seen_request_id).toBe('there');
    }
    expect(retried).toEqual([1]);

    const outcomes = await Promise.allSettled([ask(client), ask(client)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('that nobody may repeat are sent once, and end with what was said', async () => {
    const away: GrpcMethod = async () => {
      throw new GrpcError('UNAVAILABLE', 'not just now');
    };
    const all = [await ledger('a', { GetBalance: away }), await ledger('b', { GetBalance: away })];
    const { client } = clientOf(addressesOf(...all));
    await expect(ask(client)).rejects.toMatchObject({ statusName: 'UNAVAILABLE', details: 'not just now' });
    expect(all.map(({ calls }) => calls()).sort()).toEqual([0, 1]);
  });

  test('share one deadline, however many are tried', async () => {
    const hangs: GrpcMethod = (_request, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('gone'))));
    const all = [await ledger('a', { GetBalance: hangs }), await ledger('b', { GetBalance: hangs })];
    const { client } = clientOf(addressesOf(...all));
    await expect(ask(client, { deadlineMs: 100, idempotent: true })).rejects.toMatchObject({
      statusName: 'DEADLINE_EXCEEDED',
    });
    expect(all.map(({ calls }) => calls()).sort()).toEqual([0, 1]);
  });

  test('are UNAVAILABLE where no instance is known, and follow those that come and go', async () => {
    const [a, b] = [await ledger('a'), await ledger('b')];
    const { client, addresses } = clientOf([]);
    await expect(ask(client)).rejects.toMatchObject({ statusName: 'UNAVAILABLE', details: 'no instance is known' });
    addresses.push(a.server.address);
    expect((await ask(client)).seen_request_id).toBe('a');
    addresses.splice(0, 1, b.server.address);
    expect((await ask(client)).seen_request_id).toBe('b');
    expect(Object.keys(client.outstanding())).toEqual([b.server.address]);
  });
});

describe('a stream that is followed', () => {
  const endless = (name: string, leave: Promise<unknown>): GrpcMethod =>
    async function* () {
      yield { account_id: 1, amount_cents: 1, seen_request_id: name };
      await leave;
      throw new GrpcError('UNAVAILABLE', 'this instance is stopping');
    };

  test('goes on at another instance when its own stops, and again after its deadline', async () => {
    const leave = Promise.withResolvers<void>();
    const stay = Promise.withResolvers<void>();
    const all = [
      await ledger('a', { Follow: endless('a', leave.promise) }),
      await ledger('b', { Follow: endless('b', stay.promise) }),
    ];
    closers.push(() => stay.resolve());
    const { client } = clientOf(addressesOf(...all));
    const seen: string[] = [];
    const reasons: string[] = [];
    const stopping = new AbortController();
    const following = (async () => {
      const followed = client.follow<Balance>(
        'Follow',
        { id: 1 },
        {
          signal: stopping.signal,
          deadlineMs: 700,
          onReopen: (reason) => void reasons.push(reason === 'ended' ? reason : reason.statusName),
        },
      );
      for await (const { seen_request_id } of followed) {
        seen.push(seen_request_id);
        leave.resolve();
      }
    })();
    following.catch(() => {});
    await eventually(() => new Set(seen).size === 2 && reasons.includes('DEADLINE_EXCEEDED'));
    expect(reasons[0]).toMatch(/UNAVAILABLE|DEADLINE_EXCEEDED/);
    stopping.abort(new Error('enough'));
    await expect(following).rejects.toThrow('enough');
    await eventually(() => Object.values(client.outstanding()).every((count) => count === 0));
  });

  test('ends with what asking again cannot mend', async () => {
    const refused: GrpcMethod = async function* () {
      yield* [];
      throw new GrpcError('INVALID_ARGUMENT', 'no such account');
    };
    const { client } = clientOf(addressesOf(await ledger('a', { Follow: refused })));
    const next = client.follow('Follow', { id: 1 })[Symbol.asyncIterator]().next();
    await expect(next).rejects.toMatchObject({ statusName: 'INVALID_ARGUMENT' });
  });

  test('is left with its loop, and its instance is told', async () => {
    const told = Promise.withResolvers<void>();
    const Follow: GrpcMethod = async function* (_request, { signal }) {
      signal.addEventListener('abort', () => told.resolve());
      yield { account_id: 1, amount_cents: 1, seen_request_id: 'a' };
      await told.promise;
    };
    const { client } = clientOf(addressesOf(await ledger('a', { Follow })));
    for await (const _ of client.follow('Follow', { id: 1 })) break;
    await told.promise;
    expect(Object.values(client.outstanding())).toEqual([0]);
  });
});
