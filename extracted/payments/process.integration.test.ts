import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { chargeBody, sender, startTestPayments, type TestPayments } from './testing/payments.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

let payments: TestPayments;
beforeAll(async () => {
  payments = await startTestPayments('process');
});
afterAll(() => payments?.stop());

describe('the program', () => {
  test('names every bad variable, shows no secret, and exits 2', async () => {
    const env = {
      PORT: 'x',
      DATABASE_URL: 'postgres://u:hidden@h/d',
      PAYMENT_WEBHOOK_SECRET: 'short',
      V1_SUNSET: 'soon',
    };
    const child = spawn(process.execPath, [main], {
      env: { ...programEnvironment(), ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(2);
    for (const name of Object.keys(env)) expect(stderr).toContain(name);
    for (const secret of ['hidden', 'short"']) expect(stderr).not.toContain(secret);
  });

  test('refuses a circuit that would hear calls of before it opened', async () => {
    const env = { DATABASE_URL: payments.database.url, CIRCUIT_RESET: '1s', PROVIDER_TIMEOUT: '2s' };
    const child = spawn(process.execPath, [main], {
      env: { ...programEnvironment(), ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(2);
    expect(stderr).toContain('CIRCUIT_RESET');
  });

  test('answers the charge that is under way and exits 0 on SIGTERM', async () => {
    const env = { ...payments.env(), ...programEnvironment() };
    const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const url = await eventually(() => /"url":"([^"]+)"/.exec(output)?.[1] ?? '', { withinMs: 60_000 });
    const held = await payments.provider.held();
    const body = chargeBody(1, 'tok_slow');
    const charging = sender(url)('POST', '/api/payments', { token: payments.admin, key: 'slow', body });
    await eventually(async () => expect(await payments.provider.held()).toBe(held + 1));
    child.kill('SIGTERM');
    expect(await charging).toMatchObject({ status: 201, body: { status: 'settled' } });
    expect(await ended).toBe(0);
  });
});

describe('a run that dies after the provider has taken the money', () => {
  test('is taken over under the same key when its lease ends, and charges no second time', async () => {
    const times = { PROVIDER_TIMEOUT: '300ms', IDEMPOTENCY_LEASE: '1s' };
    const env = { ...payments.env(times), ...programEnvironment() };
    const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const url = await eventually(() => /"url":"([^"]+)"/.exec(output)?.[1] ?? '', { withinMs: 60_000 });
    const held = await payments.provider.held();
    const request = { token: payments.admin, key: 'dies', body: chargeBody(50, 'tok_timeout') };
    const lost = sender(url)('POST', '/api/payments', request).catch(() => 'lost');
    await eventually(async () => expect(await payments.provider.held()).toBe(held + 1));
    child.kill('SIGKILL');
    await ended;
    expect(await lost).toBe('lost');

    const other = await payments.another(times);
    const seen = new Set<number>();
    const answer = await eventually(async () => {
      const again = await other.send('POST', '/api/payments', request);
      seen.add(again.status);
      if (again.status === 409) throw new Error(again.text);
      return again;
    });
    expect(answer).toMatchObject({ status: 201, body: { status: 'settled' } });
    expect(await payments.provider.held()).toBe(held + 1);
    expect([...seen].filter((status) => status !== 409)).toEqual([201]);
  });
});

describe('an instance', () => {
  test('is in Consul with its gRPC port, and leaves when it stops', async () => {
    const { consulUrl } = testServers();
    const id = `payments-${payments.database.name}`;
    const instance = await payments.another({ CONSUL_URL: consulUrl, SERVICE_ID: id });
    type Entry = { Service: { ID: string; Port: number; Meta: Record<string, string> } };
    const registered = async () => {
      const all = await (await fetch(`${consulUrl}/v1/health/service/payments?passing=true`)).json();
      return (all as Entry[]).map(({ Service }) => Service).filter(({ ID }) => ID === id);
    };
    await eventually(async () => {
      expect(await registered()).toMatchObject([
        { Port: instance.server.port, Meta: { grpc_port: `${instance.grpc.port}` } },
      ]);
    });
    await instance.lifecycle.stop('test');
    await eventually(async () => expect(await registered()).toEqual([]));
  });

  test('whose database is away is not ready and asks to come back, with no money taken', async () => {
    const line = await startTcpProxy(payments.database.url);
    try {
      const cut = await payments.another({ DATABASE_URL: line.url });
      expect((await cut.send('GET', '/health/ready')).status).toBe(200);
      await line.refuse();
      await eventually(async () => expect((await cut.send('GET', '/health/ready')).status).toBe(503));
      const held = await payments.provider.held();
      const asked = await cut.send('POST', '/api/payments', {
        token: payments.admin,
        key: 'away',
        body: chargeBody(2, 'tok_good'),
      });
      expect([asked.status, asked.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await payments.provider.held()).toBe(held);
      await line.pass();
      await eventually(async () => expect((await cut.send('GET', '/health/ready')).status).toBe(200));
      const again = await cut.send('POST', '/api/payments', {
        token: payments.admin,
        key: 'away',
        body: chargeBody(2, 'tok_good'),
      });
      expect(again.status).toBe(201);
    } finally {
      await line.close();
    }
  });

  test('whose provider is away takes no money and says so; the same request charges when it is back', async () => {
    const line = await startTcpProxy(payments.provider.url);
    try {
      const cut = await payments.another({ PAYMENT_PROVIDER_URL: line.url });
      await line.refuse();
      const charge = () =>
        cut.send('POST', '/api/payments', { token: payments.admin, key: 'cut', body: chargeBody(3, 'tok_good') });
      const refused = await charge();
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
      expect((await cut.send('GET', '/health/ready')).status).toBe(200);
      await line.pass();
      expect(await charge()).toMatchObject({ status: 201, body: { status: 'settled' } });
    } finally {
      await line.close();
    }
  });
});
