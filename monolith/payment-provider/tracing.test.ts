import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { startCollector } from '@strangler/platform/testing/collector.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { freePort } from '@strangler/platform/testing/sockets.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

test('records what it is asked and what it tells, and tells nothing of its traces', async () => {
  const collector = await startCollector();
  const told: http.IncomingHttpHeaders[] = [];
  const shop = http.createServer((request, response) => {
    told.push(request.headers);
    response.end();
  });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
  const port = await freePort();
  const child = spawn(process.execPath, [main], {
    env: {
      ...{ ...programEnvironment(), PORT: `${port}`, LOG_LEVEL: 'silent', TRACING_URL: collector.url },
      WEBHOOK_URL: `http://127.0.0.1:${(shop.address() as AddressInfo).port}/hooks`,
    },
    stdio: 'ignore',
  });
  try {
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => (await fetch(`${url}/health/ready`)).ok, { withinMs: 60_000 });
    const charge = { amount_cents: 100, currency: 'EUR', reference: 'pay_1', card_token: 'tok_visa' };
    const headers = { 'content-type': 'application/json', 'idempotency-key': 'one' };
    const answer = await fetch(`${url}/v1/charges`, { method: 'POST', headers, body: JSON.stringify(charge) });
    expect(answer.status).toBeLessThan(300);
    const [asked, sent] = await eventually(
      () => {
        const spans = collector.spans().filter(({ service }) => service === 'payment-provider');
        const found = ['POST /v1/charges', 'send webhook'].map((name) => spans.find((span) => span.name === name));
        expect(found).not.toContain(undefined);
        return found;
      },
      { withinMs: 30_000 },
    );
    expect(sent?.traceId).not.toBe(asked?.traceId);
    expect(told.length).toBeGreaterThan(0);
    expect(told.flatMap((one) => Object.keys(one)).filter((name) => /^trace/.test(name))).toEqual([]);
  } finally {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    shop.closeAllConnections();
    shop.close();
    await collector.close();
  }
}, 90_000);
