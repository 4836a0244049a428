import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import express from 'express';
import { decodeJwt, importJWK, type JWTPayload, SignJWT } from 'jose';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createGrpcClient, type GrpcClient, type GrpcClientTrust } from '../grpc/client.ts';
import { type GrpcMethod, startGrpcServer } from '../grpc/server.ts';
import { problemResponder } from '../http/problem.ts';
import { eventually } from '../testing/eventually.ts';
import { noServiceTrust, type ServiceTrustConfig } from './config.ts';
import { callerOf } from './http.ts';
import { type KeyFolder, openKeyFolder } from './key-folder.ts';
import { serviceTokenType } from './service-tokens.ts';
import { openServiceTrust, type ServiceTrust } from './service-trust.ts';
import { makeAuthority, type TestAuthority } from './testing/certificates.ts';
import type { TlsFiles } from './tls.ts';

const log = pino({ level: 'silent' });
const protoPath = path.join(import.meta.dirname, '../grpc/ledger.fixture.proto');
const client = { protoPath, packageName: 'ledger.v1', serviceName: 'Ledger', deadlineMs: 15_000 };

let folder: string;
let keys: KeyFolder;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'service-trust-'));
});
beforeEach(async () => {
  keys = openKeyFolder(await mkdtemp(join(folder, 'keys-')));
  await keys.init('shop', ['ledger', 'mailer']);
  await keys.init('stranger', []);
  await keys.init('orders', ['ledger']);
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => rm(folder, { recursive: true }));

async function trustOf(self: string, config: Partial<ServiceTrustConfig>) {
  const metrics = new Registry();
  const lifecycle = {
    onStop: (_phase: unknown, _name: string, step: (context: never) => unknown) => closers.push(step as () => unknown),
  };
  const trust = await openServiceTrust({ self, config: { ...noServiceTrust, ...config }, metrics, log, lifecycle });
  return { trust, metrics };
}

const enforcing = (): Partial<ServiceTrustConfig> => ({ mode: 'enforce', trustFile: keys.trustFile });
const signing = (service: string): Partial<ServiceTrustConfig> => ({ key: { file: keys.keyFile(service) } });

/** A service with gRPC, GetBalance for the shop and Follow for the shop and orders, and one route over HTTP. */
async function ledger(
  config: Partial<ServiceTrustConfig> = enforcing(),
  name = 'ledger',
  more: { mostConnectionAgeMs?: number } = {},
) {
  const { trust, metrics } = await trustOf(name, config);
  const callers: (string | undefined)[] = [];
  const GetBalance: GrpcMethod = async ({ id }: { id: number }, { caller }) => {
    callers.push(caller);
    return { account_id: id, amount_cents: 1, seen_request_id: caller ?? '' };
  };
  const Follow: GrpcMethod = async function* ({ id }: { id: number }, { caller }) {
    for (let n = 0; n < 3; n += 1) yield { account_id: id, amount_cents: n, seen_request_id: caller ?? '' };
  };
  const grpc = await startGrpcServer({
    ...{ host: '127.0.0.1', port: 0, protoPath, packageName: 'ledger.v1', log },
    implementations: { Ledger: { GetBalance, Follow } },
    ...trust.grpcServer({ Ledger: { GetBalance: ['shop'], '*': ['shop', 'orders'] } }),
    ...more,
  });
  closers.push(() => grpc.drain(0));
  const app = express();
  app.get('/internal/balance', trust.http.requireCaller('shop'), (request, response) => {
    response.json({ caller: callerOf(request) ?? null });
  });
  app.use(problemResponder(log));
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  closers.push(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/internal/balance`;
  return { address: grpc.address, url, callers, metrics };
}

function connect(address: string, trust: GrpcClientTrust): GrpcClient {
  const opened = createGrpcClient({ ...client, address, trust });
  closers.push(() => opened.close());
  return opened;
}

/** What both transports say to a token; undefined: it is sent without one. */
async function answers({ address, url }: { address: string; url: string }, token: string | undefined) {
  const grpc = await connect(address, token === undefined ? {} : { token: async () => token })
    .call<{ seen_request_id: string }>('GetBalance', { id: 1 })
    .then(
      ({ seen_request_id }) => seen_request_id,
      (error) => error.statusName,
    );
  const answer = await fetch(url, { headers: token === undefined ? {} : { 'x-service-token': token } });
  const body = (await answer.json()) as { caller?: string; reason?: string };
  return { grpc, http: answer.status, said: body.caller ?? body.reason };
}

const tokenOf = async (service: string, audience: string): Promise<string> => {
  const { trust } = await trustOf(service, signing(service));
  return (await trust.headersFor(audience))['x-service-token'] ?? '';
};

/** A token as its owner would not make it, signed by a service's real key. */
async function forged(service: string, claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
  const { signing: key } = await keys.ring(service);
  const now = Math.floor(Date.now() / 1_000);
  return await new SignJWT({ iss: service, aud: 'ledger', iat: now, exp: now + 60, ...claims })
    .setProtectedHeader({ alg: 'EdDSA', typ: serviceTokenType, kid: key.kid, ...header })
    .sign(await importJWK({ kty: 'OKP', crv: 'Ed25519', x: key.x, d: key.d }, 'EdDSA'));
}

function handMade(header: object, payload: object, secret?: string): string {
  const text = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${text}.${secret === undefined ? '' : createHmac('sha256', secret).update(text).digest('base64url')}`;
}

describe('a service that enforces', () => {
  test('lets in a caller whom it names, and tells its name to the implementation, on streams too', async () => {
    const service = await ledger();
    expect(await answers(service, await tokenOf('shop', 'ledger'))).toEqual({ grpc: 'shop', http: 200, said: 'shop' });
    const { trust } = await trustOf('orders', signing('orders'));
    const seen: string[] = [];
    for await (const { seen_request_id } of connect(service.address, trust.grpcClientOf('ledger')).stream<{
      seen_request_id: string;
    }>('Follow', { id: 1 }))
      seen.push(seen_request_id);
    expect(seen).toEqual(['orders', 'orders', 'orders']);
    const counted = await service.metrics.metrics();
    expect(counted).toMatch(
      /service_trust_calls_total\{transport="grpc",caller="orders",outcome="accepted",reason="none"\} 1/,
    );
  });

  test('refuses a stream before it begins', async () => {
    const { address } = await ledger();
    const next = connect(address, {}).stream('Follow', { id: 1 })[Symbol.asyncIterator]().next();
    await expect(next).rejects.toMatchObject({ statusName: 'UNAUTHENTICATED' });
  });

  test('refuses everything else, and says no more than it must', async () => {
    const service = await ledger();
    const mailer = await ledger(enforcing(), 'mailer');
    const ring = await keys.ring('shop');
    const now = Math.floor(Date.now() / 1_000);
    const good = { iss: 'shop', aud: 'ledger', iat: now, exp: now + 60 };
    const forMailer = await tokenOf('shop', 'mailer');
    expect(await answers(mailer, forMailer)).toMatchObject({ grpc: 'shop', http: 200 });
    const user = await forged('shop', { sub: '7', role: 'admin' }, { typ: 'JWT' });
    const invalid: [string, string, string | undefined][] = [
      ['a token for another service, sent on by it', 'audience', forMailer],
      ['a token for two services', 'audience', await forged('shop', { aud: ['ledger', 'mailer'] })],
      ['a token for nobody', 'audience', await forged('shop', { aud: undefined as unknown as string })],
      ["one caller's key under another's name", 'key', await forged('orders', { iss: 'shop' })],
      [
        'a key id of the one and a name of the other',
        'signature',
        await forged('orders', { iss: 'shop' }, { kid: ring.signing.kid }),
      ],
      ['a caller that nobody knows', 'issuer', await forged('shop', { iss: 'nobody' })],
      ['a token that is over', 'expired', await forged('shop', { iat: now - 120, exp: now - 60 })],
      ['a token of tomorrow', 'not_yet', await forged('shop', { iat: now + 86_400, exp: now + 86_460 })],
      ['a token that is good for a year', 'lifetime', await forged('shop', { exp: now + 31_536_000 })],
      ['a token without an end', 'claims', await forged('shop', { exp: undefined as unknown as number })],
      ["a user's token, signed by the same key", 'type', user],
      [
        'no signature at all',
        'algorithm',
        handMade({ alg: 'none', typ: serviceTokenType, kid: ring.signing.kid }, good),
      ],
      [
        'the public key as the secret of an HMAC',
        'algorithm',
        handMade({ alg: 'HS256', typ: serviceTokenType, kid: ring.signing.kid }, good, ring.signing.x),
      ],
      [
        'a key of its own in the header',
        'key',
        await forged('stranger', { iss: 'shop' }, { jwk: { kty: 'OKP', crv: 'Ed25519', x: ring.signing.x } }),
      ],
      [
        'a changed payload',
        'signature',
        (await tokenOf('shop', 'ledger')).replace(
          /\.[^.]+\./,
          `.${Buffer.from(JSON.stringify(good)).toString('base64url')}.`,
        ),
      ],
      ['no token', 'malformed', 'x'],
      ['two tokens', 'malformed', `${await tokenOf('shop', 'ledger')},${await tokenOf('shop', 'ledger')}`],
      ['a very long text', 'malformed', 'e30.'.repeat(800)],
    ];
    for (const [name, fault, token] of invalid) {
      const answer = await answers(service, token);
      expect([name, answer]).toEqual([name, { grpc: 'UNAUTHENTICATED', http: 401, said: 'service-token-invalid' }]);
      const counted = `service_trust_calls_total{transport="http",caller="unknown",outcome="refused",reason="${fault}"}`;
      expect([name, await service.metrics.metrics()]).toEqual([name, expect.stringContaining(counted)]);
    }
    expect(await answers(service, undefined)).toEqual({
      grpc: 'UNAUTHENTICATED',
      http: 401,
      said: 'service-token-missing',
    });
    const forbidden = { grpc: 'PERMISSION_DENIED', http: 403, said: 'caller-not-allowed' };
    expect(await answers(service, await tokenOf('orders', 'ledger'))).toEqual(forbidden);
    expect(await answers(service, await tokenOf('stranger', 'ledger'))).toEqual(forbidden);
    expect(service.callers).toEqual([]);
  });

  test('reports instead, or asks nobody, where it is told so', async () => {
    const reporting = await ledger({ ...enforcing(), mode: 'report' });
    expect(await answers(reporting, undefined)).toEqual({ grpc: '', http: 200, said: undefined });
    expect(await answers(reporting, await tokenOf('shop', 'ledger'))).toMatchObject({ grpc: 'shop', http: 200 });
    expect(await reporting.metrics.metrics()).toMatch(/caller="unknown",outcome="would_refuse",reason="missing"\} 1/);
    const off = await ledger({ mode: 'off' });
    expect(await answers(off, undefined)).toMatchObject({ grpc: '', http: 200 });
  });
});

describe('while a service is called without end', () => {
  /** Calls, one after the other on each of a few lines, each with a connection of its own; what failed. */
  function keepCalling(call: (line: number) => Promise<unknown>) {
    const failures: unknown[] = [];
    let calls = 0;
    let going = true;
    const lines = Array.from({ length: 4 }, async (_, line) => {
      while (going) {
        await call(line).catch((error: unknown) => failures.push(error));
        calls += 1;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
    return {
      calls: () => calls,
      more: async (wanted: number) => {
        const from = calls;
        await eventually(() => calls >= from + wanted);
      },
      stop: async () => {
        going = false;
        await Promise.all(lines);
        return failures;
      },
    };
  }

  test('its caller changes keys in three steps, and no call fails; an old token is then refused', async () => {
    const service = await ledger();
    const { trust } = await trustOf('shop', signing('shop'));
    const grpc = connect(service.address, trust.grpcClientOf('ledger'));
    const kid = async () =>
      JSON.parse(Buffer.from((await tokenNow()).split('.')[0] ?? '', 'base64url').toString()).kid as string;
    const tokenNow = async () => (await trust.headersFor('ledger'))['x-service-token'] ?? '';
    const oldToken = await tokenNow();
    expect(decodeJwt(oldToken)).toMatchObject({ iss: 'shop', aud: 'ledger', jti: expect.any(String) });
    expect(await tokenNow()).toBe(oldToken);
    const first = await kid();

    const calling = keepCalling(async (line) => {
      if (line % 2 === 0) return await grpc.call('GetBalance', { id: 1 });
      const answer = await fetch(service.url, { headers: await trust.headersFor('ledger') });
      if (answer.status !== 200) throw new Error(await answer.text());
      return await answer.arrayBuffer();
    });
    await calling.more(50);
    // No time to settle: a verifier that does not know a key looks at the file before it says no.
    const at = { settleMs: 0, tokenLifeMs: 0 };
    expect(await keys.rotate('shop', at)).toMatchObject({ step: 'published' });
    await calling.more(50);
    expect(await keys.rotate('shop', at)).toMatchObject({ step: 'signing' });
    await eventually(async () => (await kid()) !== first);
    expect(await answers(service, oldToken)).toMatchObject({ grpc: 'shop', http: 200 });
    await calling.more(50);
    expect(await keys.retire('shop', at)).toMatchObject({ step: 'retired', kid: first });
    await eventually(async () => (await answers(service, oldToken)).http === 401);
    await calling.more(50);
    // A file that is no good changes nothing.
    await writeFile(keys.trustFile, (await readFile(keys.trustFile, 'utf8')).slice(0, -20));
    await eventually(async () => /what="trust",outcome="refused"\} 1/.test(await service.metrics.metrics()));
    await calling.more(50);
    expect(await calling.stop()).toEqual([]);
    expect(calling.calls()).toBeGreaterThan(250);
  }, 60_000);

  test('certificates of both sides are renewed, and no call fails', async () => {
    const authority = await makeAuthority(join(folder, 'renewed'));
    const server = await authority.issue('ledger', 'DNS:ledger');
    const caller = await authority.issue('shop', 'URI:spiffe://example.org/sa/shop');
    const service = await ledger({ ...enforcing(), tls: server }, 'ledger', { mostConnectionAgeMs: 400 });
    const { trust, metrics } = await trustOf('shop', { ...signing('shop'), tls: caller });
    const lasting = connect(service.address, trust.grpcClientOf('ledger'));
    const calling = keepCalling(async (line) => {
      if (line > 0) return await lasting.call('GetBalance', { id: 1 });
      const fresh = createGrpcClient({ ...client, address: service.address, trust: trust.grpcClientOf('ledger') });
      return await fresh.call('GetBalance', { id: 1 }).finally(() => fresh.close());
    });
    await calling.more(50);
    const shown = new Set([await serialOf(service.address, caller)]);
    for (let round = 1; round <= 2; round += 1) {
      await authority.issue('ledger', 'DNS:ledger');
      await authority.issue('shop', 'URI:spiffe://example.org/sa/shop');
      const renewed = (of: Registry) => eventually(async () => loads(await of.metrics()) > round);
      await Promise.all([renewed(service.metrics), renewed(metrics)]);
      await calling.more(100);
      shown.add(await serialOf(service.address, caller));
    }
    expect(shown.size).toBe(3);
    expect(await calling.stop()).toEqual([]);
  }, 60_000);
});

/** Of the certificate that a server shows on a new connection. */
async function serialOf(address: string, { certFile, keyFile, caFile }: TlsFiles): Promise<string> {
  const [cert, key, ca] = await Promise.all([certFile, keyFile, caFile].map((file) => readFile(file)));
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port: Number(address.split(':')[1]), cert, key, ca, ALPNProtocols: ['h2'] },
    checkServerIdentity: () => undefined,
  });
  try {
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve as () => void).once('error', reject));
    return socket.getPeerCertificate().serialNumber;
  } finally {
    socket.destroy();
  }
}

const loads = (text: string): number =>
  Number(/service_trust_loads_total\{what="certificate",outcome="loaded"\} (\d+)/.exec(text)?.[1] ?? 0);

describe('with TLS', () => {
  let authority: TestAuthority;
  let server: TlsFiles;
  beforeAll(async () => {
    authority = await makeAuthority(join(folder, 'tls'));
    server = await authority.issue('ledger', 'DNS:ledger');
  });
  const outcome = (address: string, trust: ServiceTrust, as = 'ledger') =>
    connect(address, trust.grpcClientOf(as))
      .call<{ seen_request_id: string }>('GetBalance', { id: 1 }, { deadlineMs: 5_000 })
      .then(
        ({ seen_request_id }) => seen_request_id,
        (error) => error.statusName,
      );

  test('a certificate stands for its caller, alone or beside a token in the same name', async () => {
    const { address } = await ledger({ ...enforcing(), tls: server });
    const shop = await authority.issue('shop', 'DNS:shop');
    const orders = await authority.issue('orders', 'DNS:orders');
    const of = async (config: Partial<ServiceTrustConfig>, self = 'shop') => (await trustOf(self, config)).trust;
    expect(await outcome(address, await of({ tls: shop }))).toBe('shop');
    expect(await outcome(address, await of({ tls: shop, ...signing('shop') }))).toBe('shop');
    // Somebody who has the token, and not the key of the certificate.
    expect(await outcome(address, await of({ tls: orders, ...signing('shop') }))).toBe('UNAUTHENTICATED');
    expect(await outcome(address, await of({ tls: orders }, 'orders'))).toBe('PERMISSION_DENIED');
  });

  test('nobody gets a connection without a certificate of the authority, or gives one in the wrong name', async () => {
    const { address } = await ledger({ ...enforcing(), tls: server });
    const shop = await authority.issue('shop', 'DNS:shop');
    const other = await (await makeAuthority(join(folder, 'other'))).issue('shop', 'DNS:shop');
    const of = async (tls: TlsFiles | undefined) => (await trustOf('shop', { ...signing('shop'), tls })).trust;
    expect(await outcome(address, await of(undefined))).toBe('UNAVAILABLE');
    expect(await outcome(address, await of({ ...other, caFile: server.caFile }))).toBe('UNAVAILABLE');
    expect(await outcome(address, await of(other))).toBe('UNAVAILABLE');
    // The server is who it is, and not whom the client wants.
    expect(await outcome(address, await of(shop), 'payments')).toBe('UNAVAILABLE');
    expect(await outcome(address, await of(shop))).toBe('shop');
  });

  test('files that do not fit each other are named at the start', async () => {
    const shop = await authority.issue('shop', 'DNS:shop');
    const mixed = { ...shop, certFile: server.certFile };
    await expect(trustOf('shop', { tls: mixed })).rejects.toThrow(
      `${shop.keyFile}: expected the key of the certificate in ${server.certFile}`,
    );
  });
});

describe('the files', () => {
  test('are for whom they are made: nobody starts with keys of another, and the trust file holds no private key', async () => {
    await expect(trustOf('shop', signing('orders'))).rejects.toThrow(
      'expected the keys of shop, found those of orders',
    );
    const { signing: key } = await keys.ring('shop');
    const trusted = await readFile(keys.trustFile, 'utf8');
    expect(trusted).not.toContain(key.d);
    const leaking = JSON.parse(trusted);
    leaking.callers.shop.keys[0].d = key.d;
    await writeFile(keys.trustFile, JSON.stringify(leaking));
    const failure = await trustOf('ledger', enforcing()).catch((error: Error) => error.message);
    expect(failure).toMatch(/trust\.json: expected .*Unrecognized key: "d"/);
    expect(failure).not.toContain(key.d);
    await writeFile(keys.keyFile('shop'), `{ "d": "${key.d}" `);
    const unreadable = await trustOf('shop', signing('shop')).catch((error: Error) => error.message);
    expect(unreadable).toMatch(/key\.json: expected JSON/);
    expect(unreadable).not.toContain(key.d);
  });

  test('a service that has a key keeps it, and may call whom it was said last', async () => {
    const before = await keys.ring('shop');
    expect(await keys.init('shop', ['ledger'])).toBe('kept');
    expect(await keys.ring('shop')).toEqual(before);
    expect((await keys.trust()).callers.shop).toMatchObject({
      audiences: ['ledger'],
      keys: [{ kid: before.signing.kid }],
    });
  });
});
