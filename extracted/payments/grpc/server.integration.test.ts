import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createGrpcClient, type GrpcClient } from '@strangler/platform/grpc/client.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { customerId, startTestPayments, type TestPayments } from '../testing/payments.ts';
import type { PaymentMessage } from './payment-message.ts';
import { paymentsPackageName, paymentsProtoPath } from './server.ts';

let flags: TestFlags;
let payments: TestPayments;
let client: GrpcClient;
let metadata: Record<string, string>;
beforeAll(async () => {
  flags = await startTestFlags('payments');
  await flags.set('service', 5);
  payments = await startTestPayments('grpc', {
    STRANGLER_FLAGS: flags.address,
    PROVIDER_TIMEOUT: '400ms',
    CIRCUIT_RESET: '30s',
    CIRCUIT_VOLUME: '8',
  });
  client = createGrpcClient({
    ...{ address: payments.grpc.address, protoPath: paymentsProtoPath, packageName: paymentsPackageName },
    ...{ serviceName: 'Payments', deadlineMs: 20_000 },
  });
  metadata = { authorization: `Bearer ${payments.admin}` };
});
afterAll(async () => {
  client?.close();
  await payments?.stop();
  await flags?.stop();
});

type Answer = { payment: PaymentMessage; replayed: boolean };
type Refunded = Answer & { refund_id: number; status: string; amount_cents: number };
const charging = (order_id: number, card_token: string, more: object = {}) => ({
  ...{ order_id, account_id: customerId, amount_cents: 900, currency: 'EUR', card_token },
  ...{ idempotency_key: `charge-${order_id}`, ...more },
});
const charge = (...args: Parameters<typeof charging>) => client.call<Answer>('Charge', charging(...args), { metadata });

describe('Charge', () => {
  test('takes the money once a key, and says the same as REST', async () => {
    const { payment, replayed } = await charge(1, 'tok_good');
    expect({ status: payment.status, replayed }).toEqual({ status: 'settled', replayed: false });
    expect(await charge(1, 'tok_good')).toEqual({ payment, replayed: true });
    const { body } = await payments.send('GET', `/api/payments/${payment.id}`, { token: payments.admin });
    expect(body).toMatchObject({ id: payment.id, order_id: 1, amount_cents: 900, updated_at: payment.updated_at });
    await expect(charge(1, 'tok_good', { amount_cents: 901 })).rejects.toMatchObject({
      statusName: 'INVALID_ARGUMENT',
    });
  });

  test('says of a declined card that the payment failed', async () => {
    expect((await charge(2, 'tok_decline')).payment).toMatchObject({ status: 'failed', failure_code: 'card_declined' });
  });

  test('keeps a refusal like any other answer', async () => {
    const more = { amount_cents: 1, idempotency_key: 'other-amount' };
    for (let n = 0; n < 2; n += 1) {
      await expect(charge(1, 'tok_good', more)).rejects.toMatchObject({ statusName: 'FAILED_PRECONDITION' });
    }
  });

  test.each([
    [{ idempotency_key: '' }, 'idempotency_key'],
    [{ card_token: '4111111111111111' }, 'card_token'],
    [{ amount_cents: 0 }, 'amount_cents'],
    [{ account_id: 0 }, 'account_id'],
  ])('refuses %j', async (more, name) => {
    await expect(charge(3, 'tok_good', more)).rejects.toMatchObject({
      statusName: 'INVALID_ARGUMENT',
      details: expect.stringContaining(name),
    });
  });
});

describe('GetPayment', () => {
  test('finds by payment and by order', async () => {
    const byOrder = await client.call<PaymentMessage>('GetPayment', { order_id: 1 }, { metadata });
    expect(await client.call('GetPayment', { payment_id: byOrder.id }, { metadata })).toEqual(byOrder);
    await expect(client.call('GetPayment', { order_id: 999 }, { metadata })).rejects.toMatchObject({
      statusName: 'NOT_FOUND',
    });
    await expect(client.call('GetPayment', {}, { metadata })).rejects.toMatchObject({ statusName: 'INVALID_ARGUMENT' });
  });
});

describe('ListPayments', () => {
  test('gives those of the orders that have one, as GetPayment does', async () => {
    const ids = [1, 2, 999];
    const { payments: found } = await client.call<{ payments: PaymentMessage[] }>(
      'ListPayments',
      { order_ids: ids },
      { metadata },
    );
    const one = (order_id: number) => client.call<PaymentMessage>('GetPayment', { order_id }, { metadata });
    expect(found.toSorted((a, b) => a.order_id - b.order_id)).toEqual([await one(1), await one(2)]);
  });

  test.each([[[]], [Array.from({ length: 201 }, (_, at) => at + 1)]])(
    'refuses none and too many',
    async (order_ids) => {
      await expect(client.call('ListPayments', { order_ids }, { metadata })).rejects.toMatchObject({
        statusName: 'INVALID_ARGUMENT',
      });
    },
  );
});

describe('Refund and CancelPayment', () => {
  test('give back a part once a key, and then the rest', async () => {
    const { payment } = await charge(10, 'tok_good');
    const request = { payment_id: payment.id, amount_cents: 400, idempotency_key: 'refund-10' };
    const first = await client.call<Refunded>('Refund', request, { metadata });
    expect(first).toMatchObject({
      status: 'done',
      amount_cents: 400,
      payment: { refunded_cents: 400, status: 'settled' },
    });
    expect(await client.call('Refund', request, { metadata })).toEqual({ ...first, replayed: true });
    expect(await client.call('CancelPayment', { order_id: 10 }, { metadata })).toMatchObject({ status: 'refunding' });
    await eventually(async () => {
      const now = await client.call<PaymentMessage>('GetPayment', { order_id: 10 }, { metadata });
      expect(now).toMatchObject({ status: 'refunded', refunded_cents: 900 });
    });
    const again = client.call('Refund', { ...request, idempotency_key: 'refund-10-b' }, { metadata });
    await expect(again).rejects.toMatchObject({ statusName: 'FAILED_PRECONDITION' });
  });

  test('a payment that is cancelled before its outcome is known goes back when it settles', async () => {
    const { payment } = await charge(11, 'tok_timeout');
    expect(payment.status).toBe('pending');
    expect(await client.call('CancelPayment', { order_id: 11 }, { metadata })).toMatchObject({ status: 'cancelling' });
    await payments.pool.query('UPDATE payments SET check_at = NOW(3) - INTERVAL 1 SECOND WHERE order_id = 11');
    await payments.reconciler.runOnce();
    expect(await client.call('GetPayment', { order_id: 11 }, { metadata })).toMatchObject({ status: 'refunded' });
  });

  test('of an order without a payment there is nothing to cancel', async () => {
    await expect(client.call('CancelPayment', { order_id: 12 }, { metadata })).rejects.toMatchObject({
      statusName: 'NOT_FOUND',
    });
  });
});

describe('a call', () => {
  test('without a token, or with that of a customer, is refused', async () => {
    const asked = (more: Record<string, string>) => client.call('GetPayment', { order_id: 1 }, { metadata: more });
    await expect(asked({})).rejects.toMatchObject({ statusName: 'UNAUTHENTICATED' });
    await expect(asked({ authorization: 'Bearer x.y.z' })).rejects.toMatchObject({ statusName: 'UNAUTHENTICATED' });
    await expect(asked({ authorization: `Bearer ${payments.customer}` })).rejects.toMatchObject({
      statusName: 'PERMISSION_DENIED',
    });
  });

  test('that writes under an epoch that is over is refused, and told the one in force', async () => {
    const stale = { metadata: { ...metadata, 'x-strangler-epoch': '4' } };
    const error = await client.call('Charge', charging(20, 'tok_good'), stale).catch((thrown) => thrown);
    expect(error).toMatchObject({ statusName: 'FAILED_PRECONDITION' });
    expect(error.metadata.get('x-strangler-stale-epoch')).toEqual(['5']);
    const present = { metadata: { ...metadata, 'x-strangler-epoch': '5' } };
    expect(await client.call('Charge', charging(20, 'tok_good'), present)).toMatchObject({
      payment: { status: 'settled' },
    });
  });
});

test('while the circuit is open nothing is sent, and the same call charges when it is closed again', async () => {
  for (let n = 0; n < 12 && payments.compartment.state() === 'closed'; n += 1)
    await charge(100 + n, 'tok_unavailable').catch(() => {});
  expect(payments.compartment.state()).toBe('open');
  const held = await payments.provider.held();
  await expect(charge(200, 'tok_good')).rejects.toMatchObject({ statusName: 'UNAVAILABLE' });
  expect(await payments.provider.held()).toBe(held);
  const waiting = await client.call('GetPayment', { order_id: 200 }, { metadata });
  expect(waiting).toMatchObject({ status: 'pending' });
  // Another instance has a circuit of its own, which is closed.
  const other = await payments.another();
  const elsewhere = createGrpcClient({
    ...{ address: other.grpc.address, protoPath: paymentsProtoPath, packageName: paymentsPackageName },
    ...{ serviceName: 'Payments', deadlineMs: 20_000 },
  });
  const answer = await elsewhere.call<Answer>('Charge', charging(200, 'tok_good'), { metadata });
  expect(answer.payment).toMatchObject({ status: 'settled' });
  elsewhere.close();
});
