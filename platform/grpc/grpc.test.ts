import net from 'node:net';
import path from 'node:path';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { pause } from '../backoff.ts';
import { contextFromHeaders, currentRequest, runInRequest } from '../http/request-context.ts';
import { eventually } from '../testing/eventually.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { createGrpcClient, type GrpcClient, type GrpcClientOptions } from './client.ts';
import { GrpcCallError, GrpcError } from './errors.ts';
import { healthPackageName, healthProtoPath } from './health.ts';
import { loadProto } from './proto.ts';
import { type GrpcMethod, type GrpcServerOptions, type RunningGrpcServer, startGrpcServer } from './server.ts';

type Account = { id: number };
type Balance = { account_id: number; amount_cents: number; seen_request_id: string };

const protoPath = path.join(import.meta.dirname, 'ledger.fixture.proto');
const packageName = 'ledger.v1';
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const getBalance: GrpcMethod = async ({ id }: Account) => ({
  account_id: id,
  amount_cents: 9_007_199_254_740_991,
  seen_request_id: currentRequest()?.requestId ?? '',
});
const follow: GrpcMethod = async function* ({ id }: Account) {
  for (let amount = 1; amount <= 3; amount += 1) yield { account_id: id, amount_cents: amount };
};

async function serve(methods: Record<string, GrpcMethod> = {}, options: Partial<GrpcServerOptions> = {}) {
  const server = await startGrpcServer({
    host: '127.0.0.1',
    port: 0,
    protoPath,
    packageName,
    implementations: { Ledger: { GetBalance: getBalance, Follow: follow, ...methods } },
    log: pino({ level: 'silent' }),
    ...options,
  });
  closers.push(() => server.drain(0));
  return server;
}

function clientOf(address: string, options: Partial<GrpcClientOptions> = {}): GrpcClient {
  const client = createGrpcClient({
    address,
    protoPath,
    packageName,
    serviceName: 'Ledger',
    deadlineMs: 5000,
    ...options,
  });
  closers.push(() => client.close());
  return client;
}

async function failureOf(calling: Promise<unknown>): Promise<GrpcCallError> {
  const failure = await calling.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(GrpcCallError);
  return failure as GrpcCallError;
}

function healthOf(server: RunningGrpcServer): GrpcClient {
  return clientOf(server.address, {
    protoPath: healthProtoPath,
    packageName: healthPackageName,
    serviceName: 'Health',
  });
}

describe('a call', () => {
  test('is answered with names as in the .proto file and integers as numbers', async () => {
    const client = clientOf((await serve()).address);
    await expect(client.call<Balance>('GetBalance', { id: 7 })).resolves.toEqual({
      account_id: 7,
      amount_cents: 9_007_199_254_740_991,
      seen_request_id: expect.stringMatching(/.+/),
    });
  });

  test("carries the caller's request id, so that both sides log the same", async () => {
    const client = clientOf((await serve()).address);
    const context = contextFromHeaders({ 'x-request-id': 'req-1' });
    const balance = await runInRequest(context, () => client.call<Balance>('GetBalance', { id: 7 }));
    expect(balance.seen_request_id).toBe('req-1');
  });

  test('to a method that throws a GrpcError ends with its status and message', async () => {
    const GetBalance: GrpcMethod = async ({ id }: Account) => {
      throw new GrpcError('NOT_FOUND', `no account ${id}`);
    };
    const failure = await failureOf(clientOf((await serve({ GetBalance })).address).call('GetBalance', { id: 7 }));
    expect(failure).toMatchObject({ code: status.NOT_FOUND, statusName: 'NOT_FOUND', details: 'no account 7' });
    expect(failure.message).toMatch(
      /^Ledger.GetBalance at 127\.0\.0\.1:\d+: expected OK, found NOT_FOUND \(no account 7\)$/,
    );
  });

  test('to a method that throws anything else ends INTERNAL and shows nothing of it', async () => {
    const GetBalance: GrpcMethod = async () => {
      throw new Error('password is hunter2');
    };
    const failure = await failureOf(clientOf((await serve({ GetBalance })).address).call('GetBalance', { id: 7 }));
    expect(failure).toMatchObject({ statusName: 'INTERNAL', details: 'internal error' });
  });

  test('that a nested call made fail does not pass the other server off as its own', async () => {
    const inner = clientOf(
      (
        await serve({
          GetBalance: async () => {
            throw new GrpcError('NOT_FOUND', 'inner');
          },
        })
      ).address,
    );
    const outer = await serve({ GetBalance: () => inner.call('GetBalance', { id: 1 }) });
    expect((await failureOf(clientOf(outer.address).call('GetBalance', { id: 1 }))).statusName).toBe('INTERNAL');
  });

  test('that outlives its deadline ends DEADLINE_EXCEEDED, and the method is told', async () => {
    const told = Promise.withResolvers<string>();
    const GetBalance: GrpcMethod = async (_request, { signal }) => {
      told.resolve(await pause(60_000, signal));
      return {};
    };
    const client = clientOf((await serve({ GetBalance })).address);
    const failure = await failureOf(client.call('GetBalance', { id: 7 }, { deadlineMs: 100 }));
    expect(failure.statusName).toBe('DEADLINE_EXCEEDED');
    await expect(told.promise).resolves.toBe('aborted');
  });

  test('that its caller aborts throws the reason, and the method is told', async () => {
    const told = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<void>();
    const GetBalance: GrpcMethod = async (_request, { signal }) => {
      begun.resolve();
      told.resolve(await pause(60_000, signal));
      return {};
    };
    const client = clientOf((await serve({ GetBalance })).address);
    const stopping = new AbortController();
    const calling = client.call('GetBalance', { id: 7 }, { signal: stopping.signal });
    calling.catch(() => {});
    await begun.promise;
    stopping.abort(new Error('enough'));
    await expect(calling).rejects.toThrow('enough');
    await expect(told.promise).resolves.toBe('aborted');
  });

  test('over the bound of calls at once is RESOURCE_EXHAUSTED', async () => {
    const release = Promise.withResolvers<void>();
    const GetBalance: GrpcMethod = async () => {
      await release.promise;
      return {};
    };
    const server = await serve({ GetBalance }, { maxInFlight: 1 });
    const client = clientOf(server.address);
    const first = client.call('GetBalance', { id: 1 });
    await eventually(() => server.inFlight() === 1);
    expect((await failureOf(client.call('GetBalance', { id: 2 }))).statusName).toBe('RESOURCE_EXHAUSTED');
    release.resolve();
    await first;
  });
});

describe('deadlines', () => {
  async function callWithout(server: RunningGrpcServer): Promise<string> {
    const proto = loadProto(protoPath, packageName).services.get('Ledger');
    if (!proto) throw new Error('no Ledger');
    const raw = new proto.client(server.address, credentials.createInsecure());
    closers.push(() => raw.close());
    return new Promise((resolve) => {
      const method = raw.GetBalance as unknown as (
        r: object,
        m: Metadata,
        cb: (e: { details: string } | null) => void,
      ) => void;
      method.call(raw, { id: 1 }, new Metadata(), (error) => resolve(error?.details ?? 'answered'));
    });
  }

  test('a call without one is refused, saying what to do', async () => {
    expect(await callWithout(await serve())).toBe(
      '/ledger.v1.Ledger/GetBalance: expected a deadline, found none; set one on the call',
    );
  });

  test('a call without one is served where that is allowed', async () => {
    expect(await callWithout(await serve({}, { withoutDeadline: 'allow' }))).toBe('answered');
  });
});

describe('a stream', () => {
  test('is read in order to its end', async () => {
    const client = clientOf((await serve()).address);
    const amounts: number[] = [];
    for await (const balance of client.stream<Balance>('Follow', { id: 7 })) amounts.push(balance.amount_cents);
    expect(amounts).toEqual([1, 2, 3]);
  });

  test('that its reader leaves is ended on the server too, and never fills its memory', async () => {
    const told = Promise.withResolvers<string>();
    let produced = 0;
    const Follow: GrpcMethod = async function* (_request, { signal }) {
      signal.addEventListener('abort', () => told.resolve('aborted'));
      for (;;) {
        produced += 1;
        yield { account_id: 1, amount_cents: 1, seen_request_id: 'x'.repeat(10_000) };
      }
    };
    const client = clientOf((await serve({ Follow })).address);
    for await (const _balance of client.stream('Follow', { id: 7 })) break;
    await expect(told.promise).resolves.toBe('aborted');
    // 10 MB would be a thousand messages; flow control stops at a few windows.
    expect(produced).toBeLessThan(1000);
  });

  test('that fails half-way hands over what came, then its status', async () => {
    const Follow: GrpcMethod = async function* () {
      yield { account_id: 1, amount_cents: 1 };
      throw new GrpcError('ABORTED', 'moved');
    };
    const client = clientOf((await serve({ Follow })).address);
    const amounts: number[] = [];
    const reading = (async () => {
      for await (const balance of client.stream<Balance>('Follow', { id: 7 })) amounts.push(balance.amount_cents);
    })();
    expect((await failureOf(reading)).statusName).toBe('ABORTED');
    expect(amounts).toEqual([1]);
  });
});

describe('a server that cannot be reached', () => {
  async function closedPort(): Promise<string> {
    const probe = net.createServer();
    await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
    const { port } = probe.address() as net.AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    return `127.0.0.1:${port}`;
  }

  test('is tried again for a call that is idempotent, and no oftener than told', async () => {
    const attempts: number[] = [];
    const client = clientOf(await closedPort(), { retries: 2, onRetry: (_method, attempt) => attempts.push(attempt) });
    const failure = await failureOf(client.call('GetBalance', { id: 1 }, { idempotent: true }));
    expect(failure.statusName).toBe('UNAVAILABLE');
    expect(failure.message).toMatch(/after 3 tries/);
    expect(attempts).toEqual([1, 2]);
  });

  test('is tried once for a call that is not', async () => {
    const attempts: number[] = [];
    const client = clientOf(await closedPort(), { onRetry: (_method, attempt) => attempts.push(attempt) });
    expect((await failureOf(client.call('GetBalance', { id: 1 }))).statusName).toBe('UNAVAILABLE');
    expect(attempts).toEqual([]);
  });

  test('is found again when it is back', async () => {
    const server = await serve();
    const proxy = await startTcpProxy(`http://${server.address}`);
    closers.push(() => proxy.close());
    const client = clientOf(`127.0.0.1:${proxy.port}`, { retries: 0 });
    await client.call('GetBalance', { id: 1 });
    await proxy.refuse();
    expect((await failureOf(client.call('GetBalance', { id: 1 }))).statusName).toBe('UNAVAILABLE');
    await proxy.pass();
    await eventually(() => client.call<Balance>('GetBalance', { id: 1 }));
  });
});

describe('health', () => {
  test('the server and each service are SERVING, others are not known', async () => {
    const health = healthOf(await serve());
    await expect(health.call('Check', { service: '' })).resolves.toEqual({ status: 'SERVING' });
    await expect(health.call('Check', { service: 'ledger.v1.Ledger' })).resolves.toEqual({ status: 'SERVING' });
    expect((await failureOf(health.call('Check', { service: 'other' }))).statusName).toBe('NOT_FOUND');
    await expect(health.call('List', {})).resolves.toEqual({
      statuses: { '': { status: 'SERVING' }, 'ledger.v1.Ledger': { status: 'SERVING' } },
    });
  });

  test('who watches hears NOT_SERVING when the server drains, while calls under way are finished', async () => {
    const release = Promise.withResolvers<void>();
    const GetBalance: GrpcMethod = async () => {
      await release.promise;
      return { amount_cents: 5 };
    };
    const server = await serve({ GetBalance });
    const heard: unknown[] = [];
    const watching = (async () => {
      for await (const { status: said } of healthOf(server).stream<{ status: string }>('Watch', { service: '' }))
        heard.push(said);
    })();
    await eventually(() => heard.length === 1);
    const calling = clientOf(server.address).call<Balance>('GetBalance', { id: 1 });
    await eventually(() => server.inFlight() === 1);
    const draining = server.drain();
    await watching;
    expect(heard).toEqual(['SERVING', 'NOT_SERVING']);
    release.resolve();
    expect((await calling).amount_cents).toBe(5);
    await expect(draining).resolves.toBe('drained');
  });

  test('what is not done by the end of the grace time is cut', async () => {
    const GetBalance: GrpcMethod = async (_request, { signal }) => {
      await pause(60_000, signal);
      return {};
    };
    const server = await serve({ GetBalance });
    const calling = failureOf(clientOf(server.address).call('GetBalance', { id: 1 }));
    await eventually(() => server.inFlight() === 1);
    await expect(server.drain(20)).resolves.toBe('cut');
    expect(['CANCELLED', 'UNAVAILABLE', 'INTERNAL']).toContain((await calling).statusName);
  });
});

describe('a server is not started', () => {
  test('without an implementation of every method', async () => {
    const starting = startGrpcServer({
      host: '127.0.0.1',
      port: 0,
      protoPath,
      packageName,
      implementations: { Ledger: { GetBalance: getBalance } },
      log: pino({ level: 'silent' }),
    });
    await expect(starting).rejects.toThrow('Ledger.Follow: expected an implementation, found none');
  });

  test('with one of a method that does not exist', async () => {
    await expect(serve({ Mistyped: getBalance })).rejects.toThrow(/expected methods Mistyped in Ledger, found none/);
  });

  test('on a port that is taken', async () => {
    const { port } = await serve();
    await expect(serve({}, { port })).rejects.toThrow(new RegExp(`expected to listen on 127.0.0.1:${port}`));
  });
});
