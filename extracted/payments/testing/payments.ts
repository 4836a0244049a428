import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLog } from '@strangler/platform/log.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { exportJWK, generateKeyPair, type CryptoKey as JoseKey, SignJWT } from 'jose';
import type { Clock } from '../clock.ts';
import { paymentsConfig } from '../config.ts';
import { migrateUp } from '../database.ts';
import { type RunningPayments, startPayments } from '../payments.ts';
import { sign, startTestProvider, type TestProvider, webhookSecret } from './provider.ts';

/** Something that issues tokens, as the shop does. */
export type TestIssuer = {
  url: string;
  token(accountId: number, role: 'customer' | 'admin'): Promise<string>;
  stop(): Promise<void>;
};

export async function startTestIssuer(): Promise<TestIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const kid = randomBytes(8).toString('hex');
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'EdDSA', use: 'sig' };
  const server = http.createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    token: (accountId, role) =>
      new SignJWT({ role })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
        .setSubject(String(accountId))
        .setIssuer('shop')
        .setAudience('shop')
        .setIssuedAt()
        .setExpirationTime('400d')
        .sign(privateKey as JoseKey),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type SendOptions = { token?: string; key?: string; headers?: Record<string, string>; body?: unknown };
// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into by each test
export type TestAnswer = { status: number; headers: Headers; text: string; body: any };
export type Send = (method: string, path: string, options?: SendOptions) => Promise<TestAnswer>;
export type TestInstance = RunningPayments & { url: string; send: Send };

export type TestPayments = TestInstance & {
  database: FreshDatabase;
  issuer: TestIssuer;
  provider: TestProvider;
  admin: string;
  customer: string;
  /** The environment that an instance on the same database is started with. */
  env(more?: NodeJS.ProcessEnv): Record<string, string>;
  another(env?: NodeJS.ProcessEnv): Promise<TestInstance>;
  /** Sends a signed webhook. */
  webhook(body: unknown, options?: Parameters<typeof sign>[1]): Promise<TestAnswer>;
  /** Charges an order through version 1, under a key of its own unless told. */
  charge(orderId: number, cardToken: string, more?: { amountCents?: number; key?: string }): Promise<TestAnswer>;
  stop(): Promise<void>;
};

/** The customer whose payments the tests make. */
export const customerId = 7;

/** Payments on a fresh database of their own and with a provider of their own, on free ports. `env` goes over what the tests need. */
export async function startTestPayments(
  label: string,
  env: NodeJS.ProcessEnv = {},
  { clock, providerEnv = {} }: { clock?: Clock; providerEnv?: NodeJS.ProcessEnv } = {},
): Promise<TestPayments> {
  const database = await freshDatabase(label);
  const [issuer, provider] = await Promise.all([startTestIssuer(), startTestProvider(providerEnv)]);
  const log = createLog({ name: 'payments', level: process.env.TEST_LOG_LEVEL ?? 'silent' });
  const running: RunningPayments[] = [];

  const environment = (more: NodeJS.ProcessEnv = {}): Record<string, string> => {
    const all: NodeJS.ProcessEnv = {
      ...{ PORT: '0', GRPC_PORT: '0', DATABASE_URL: database.url, DATABASE_POOL_MAX: '8', DRAIN_GRACE: '5s' },
      ...{ JWKS_URL: `${issuer.url}/.well-known/jwks.json`, PAYMENT_PROVIDER_URL: provider.url },
      ...{ PAYMENT_WEBHOOK_SECRET: webhookSecret, PROVIDER_TIMEOUT: '3s' },
      // Nothing happens behind a test's back unless it asks for that.
      ...{ FIRST_CHECK: '1h', RECONCILE_EVERY: '1h', PARK_FIRST: '1h' },
      ...env,
      ...more,
    };
    return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
  };
  const start = async (more: NodeJS.ProcessEnv): Promise<TestInstance> => {
    const config = paymentsConfig(environment(more));
    const payments = await startPayments({ config, log, ...(clock ? { clock } : {}) });
    running.push(payments);
    return { ...payments, url: payments.server.url, send: sender(payments.server.url) };
  };
  const stop = async () => {
    for (const payments of running) await payments.lifecycle.stop('test');
    await provider.stop();
    await issuer.stop();
    await database.drop();
  };

  try {
    await migrateUp(database.url, log);
    const first = await start({});
    const [admin, customer] = await Promise.all([issuer.token(1, 'admin'), issuer.token(customerId, 'customer')]);
    return {
      ...first,
      ...{ database, issuer, provider, admin, customer, stop },
      env: environment,
      another: (more = {}) => start(more),
      webhook: (body, options) => {
        const text = typeof body === 'string' ? body : JSON.stringify(body);
        return first.send('POST', '/api/payments/webhooks', {
          headers: {
            'content-type': 'application/json',
            'provider-signature': sign(text, { at: clock?.now() ?? new Date(), ...options }),
          },
          body: text,
        });
      },
      charge: (orderId, cardToken, { amountCents = 1_000, key = `order-${orderId}` } = {}) =>
        first.send('POST', '/api/payments', {
          token: admin,
          key,
          body: chargeBody(orderId, cardToken, amountCents),
        }),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export function chargeBody(orderId: number, cardToken: string, amountCents = 1_000) {
  return {
    ...{ order_id: orderId, account_id: customerId, amount_cents: amountCents },
    ...{ currency: 'EUR', card_token: cardToken },
  };
}

export function sender(url: string): Send {
  return async (method, path, { token, key, headers = {}, body } = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = text !== '' && /json/.test(answer.headers.get('content-type') ?? '');
    return { status: answer.status, headers: answer.headers, text, body: json ? JSON.parse(text) : undefined };
  };
}
