import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { select } from '@strangler/platform/mysql/statements.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import fc from 'fast-check';
import { chargeBody, type Send, sender, startTestPayments, type TestPayments } from './testing/payments.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const orders = 45;
const cards = [
  'tok_good',
  'tok_good',
  'tok_timeout',
  'tok_broken',
  'tok_lost',
  'tok_unavailable',
  'tok_decline',
  'tok_double_webhook',
  'tok_late_webhook',
  'tok_out_of_order',
  'tok_no_webhook',
];

/** One that is only there for its database, issuer and provider; the process under test is another. */
let payments: TestPayments;
/** Between the service and its provider: what passes here can be lost in either direction. */
let line: TcpProxy;
let port: number;
let child: ChildProcess;
let send: Send;

beforeAll(async () => {
  port = await freePort();
  const webhookUrl = `http://127.0.0.1:${port}/api/payments/webhooks`;
  payments = await startTestPayments('faults', {}, { providerEnv: { WEBHOOK_URL: webhookUrl } });
  // Beside what each card brings: some charges are answered 5xx, taken or not.
  await payments.provider.control({ late_ms: 300, error_rate: 0.1, error_after_charge_rate: 0.1 });
  line = await startTcpProxy(payments.provider.url);
  send = sender(`http://127.0.0.1:${port}`);
  await startProcess();
});
afterAll(async () => {
  await killProcess();
  await payments?.stop();
  await line?.close();
});

async function startProcess(): Promise<void> {
  const env = payments.env({
    ...{ ...programEnvironment(), PORT: String(port), LOG_LEVEL: 'silent', PROVIDER_TIMEOUT: '400ms' },
    PAYMENT_PROVIDER_URL: line.url,
    ...{
      FIRST_CHECK: '200ms',
      LONGEST_CHECK: '2s',
      RECONCILE_EVERY: '100ms',
      ABANDON_AFTER: '2500ms',
      PARK_FIRST: '200ms',
    },
    ...{ IDEMPOTENCY_LEASE: '1300ms', CIRCUIT_RESET: '500ms', CIRCUIT_VOLUME: '20' },
  });
  child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  await eventually(async () => (await fetch(`http://127.0.0.1:${port}/health/ready`)).ok, { withinMs: 60_000 });
}

async function killProcess(): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** As a caller that never gives up: the same key and body until there is an answer that says something. */
async function insist(method: string, path: string, key: string, body: object) {
  return eventually(
    async () => {
      const answer = await send(method, path, { token: payments.admin, key, body });
      if (answer.status >= 500 || answer.body?.title === 'Request still running') throw new Error(answer.text);
      return answer;
    },
    { withinMs: 60_000 },
  );
}

/** What the provider and the payments' database say, neither asked through the service. */
async function books() {
  type Row = { reference: string; status: string; amount: number; done: number; taken: number };
  const rows = await select<Row>(
    payments.pool,
    `SELECT p.reference, p.status, p.amount_cents AS amount, p.status IN ('settled', 'refunding', 'refunded') AS taken,
        COALESCE((SELECT SUM(r.amount_cents) FROM refunds r WHERE r.payment_id = p.id AND r.status = 'done'), 0) AS done
       FROM payments p`,
  );
  const sums = { captured: 0, settled: 0, refundedThere: 0, refundedHere: 0, twice: 0 };
  for (const { reference, amount, done, taken } of rows) {
    const charges = (await payments.provider.charges(reference)).filter(({ status }) => status === 'succeeded');
    if (charges.length > 1) sums.twice += 1;
    for (const charge of charges) {
      sums.captured += charge.amount_cents;
      sums.refundedThere += charge.refunded_cents;
    }
    sums.settled += Number(taken) * Number(amount);
    sums.refundedHere += Number(done);
  }
  return { rows, sums };
}

test('with faults of every kind and a death in their midst, every cent at the provider is a cent in the payments', async () => {
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
  const [plan = []] = fc.sample(
    fc.array(
      fc.record({
        card: fc.constantFrom(...cards),
        amount: fc.integer({ min: 1, max: 90_000 }),
        refunds: fc.array(fc.integer({ min: 1, max: 60_000 }), { maxLength: 2 }),
      }),
      { minLength: orders, maxLength: orders },
    ),
    { numRuns: 1, seed },
  );
  let answered = 0;
  let killed: Promise<void> | undefined;
  const shop = async (at: number) => {
    const one = plan[at]!;
    const orderId = at + 1;
    const answer = await insist(
      'POST',
      '/api/payments',
      `charge-${orderId}`,
      chargeBody(orderId, one.card, one.amount),
    );
    answered += 1;
    if (answered === orders / 3) killed = killProcess().then(startProcess);
    const { id } = answer.body.payment ?? answer.body;
    for (const [n, cents] of one.refunds.entries()) {
      await insist('POST', `/api/payments/${id}/refunds`, `refund-${orderId}-${n}`, { amount_cents: cents });
    }
  };
  const waiting = plan.map((_, at) => at);
  // What the provider does goes on while its answers are lost: charges, refunds and look-ups alike.
  const losing = setInterval(() => {
    line.holdAnswers();
    setTimeout(() => {
      line.cut();
      void line.pass();
    }, 25);
  }, 200);
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) await shop(at);
    }),
  ).finally(() => clearInterval(losing));
  await killed;
  expect(killed).toBeDefined();

  await eventually(
    async () => {
      const [open] = await select<{ n: number }>(
        payments.pool,
        'SELECT COUNT(*) AS n FROM payments WHERE check_at IS NOT NULL',
      );
      expect({ seed, open: open?.n, waiting: await payments.provider.waiting() }).toEqual({
        seed,
        open: 0,
        waiting: 0,
      });
    },
    { withinMs: 60_000 },
  );
  const { rows, sums } = await books();
  expect({ seed, payments: rows.length }).toEqual({ seed, payments: orders });
  expect({ seed, twice: sums.twice, captured: sums.captured, refunded: sums.refundedThere }).toEqual({
    seed,
    twice: 0,
    captured: sums.settled,
    refunded: sums.refundedHere,
  });
  // The run had all of it: money taken, money given back, and payments that failed.
  expect(sums.captured).toBeGreaterThan(0);
  expect(sums.refundedThere).toBeGreaterThan(0);
  expect(rows.some(({ status }) => status === 'failed')).toBe(true);

  // Each end is told once, whatever was sent again.
  const told = await select<{ topic: string; n: number }>(
    payments.pool,
    "SELECT topic, COUNT(*) AS n FROM strangler_outbox WHERE subject = 'order' GROUP BY topic, subject_key HAVING COUNT(*) > 1",
  );
  expect({ seed, told }).toEqual({ seed, told: [] });
  const [settled] = await select<{ n: number }>(
    payments.pool,
    "SELECT COUNT(*) AS n FROM strangler_outbox WHERE topic IN ('shop.payment.settled', 'shop.payment.failed')",
  );
  expect({ seed, ends: settled?.n }).toEqual({ seed, ends: rows.length });
});
