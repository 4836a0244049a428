import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { installFence, setFence } from './testing/fence.ts';
import { startTestInventory, type TestInventory } from './testing/inventory.ts';

let flags: TestFlags;
let inventory: TestInventory;
let token: string;
let epoch = 1;
let ids = 0;

beforeAll(async () => {
  flags = await startTestFlags('inventory');
  await flags.set('service', epoch);
  inventory = await startTestInventory('ownership', {
    STRANGLER_FLAGS: flags.address,
    FENCE_WAIT: '15s',
    SWEEP_EVERY: '10m',
  });
  token = await inventory.issuer.token(1, 'admin');
  await installFence(inventory.db);
});
afterAll(async () => {
  await inventory?.stop();
  await flags?.stop();
});

const adjust = (productId: number, headers: Record<string, string> = {}) =>
  inventory.send('POST', `/api/inventory/${productId}/adjustments`, {
    token,
    headers,
    body: { delta: 1, reason: 'r' },
  });
const reserve = (productId: number, quantity: number, metadata: Record<string, string> = {}) => {
  ids += 1;
  const request = { reservation_id: `o-${ids}`, lines: [{ product_id: productId, quantity }], ttl_ms: 60_000 };
  return inventory.client.call<{ outcome: string }>('Reserve', request, { metadata });
};
const refusalOf = (calling: Promise<unknown>) =>
  calling.then(
    () => undefined,
    (error: unknown) => error as GrpcCallError,
  );

beforeEach(async () => {
  await setFence(inventory.db, 'open');
  epoch += 1;
  await flags.set('service', epoch);
  // The inventory follows the flags by itself.
  await eventually(async () => {
    const { headers } = await adjust(1, { 'x-strangler-epoch': '1' });
    expect(headers.get('x-strangler-stale-epoch')).toBe(`${epoch}`);
  });
});

describe('writes of the inventory', () => {
  test('under the present epoch, or none, are done', async () => {
    const productId = await inventory.product(5);
    expect((await adjust(productId, { 'x-strangler-epoch': `${epoch}` })).status).toBe(201);
    expect((await adjust(productId)).status).toBe(201);
    for (const metadata of [{ 'x-strangler-epoch': `${epoch}` }, undefined]) {
      expect(await reserve(productId, 1, metadata)).toMatchObject({ outcome: 'RESERVED' });
    }
  });

  test('under an epoch that is over are refused with nothing done, by HTTP and by gRPC', async () => {
    const productId = await inventory.product(5);
    const stale = { 'x-strangler-epoch': `${epoch - 1}` };
    const answer = await adjust(productId, stale);
    expect({ status: answer.status, known: answer.headers.get('x-strangler-stale-epoch') }).toEqual({
      status: 409,
      known: `${epoch}`,
    });
    const refused = await refusalOf(reserve(productId, 1, stale));
    expect(refused).toMatchObject({ statusName: 'ABORTED' });
    expect(refused?.metadata.get('x-strangler-stale-epoch')).toEqual([`${epoch}`]);
    expect(await inventory.available(productId)).toBe(5);
    expect((await inventory.send('GET', `/api/inventory/${productId}`, { headers: stale })).status).toBe(200);
  });

  test('that meet a closed fence wait until it is open, and are done once', async () => {
    const productId = await inventory.product(5);
    await setFence(inventory.db, 'closed');
    let answered = 0;
    const writing = [adjust(productId), reserve(productId, 2)].map((one) => one.finally(() => (answered += 1)));
    await inventory.send('GET', '/health/ready');
    expect(answered).toBe(0);
    await setFence(inventory.db, 'open');
    expect(await Promise.all(writing)).toEqual([
      expect.objectContaining({ status: 201 }),
      expect.objectContaining({ outcome: 'RESERVED' }),
    ]);
    expect(await inventory.available(productId)).toBe(4);
  });

  test('are not refused for what stood in rows that were another’s by then', async () => {
    const productId = await inventory.product(0);
    await setFence(inventory.db, 'closed');
    const reserving = reserve(productId, 2);
    await inventory.send('GET', '/health/ready');
    // What the owner wrote meanwhile comes by the pipe, which shows its pass.
    const pipe = await inventory.db.getConnection();
    await pipe.query("SET @strangler_apply = '1', @strangler_pass = 'the-pass'");
    await pipe.query('UPDATE stock_levels SET available = 2, version = 2 WHERE product_id = ?', [productId]);
    await pipe.query('SET @strangler_apply = NULL, @strangler_pass = NULL');
    pipe.release();
    await setFence(inventory.db, 'open');
    expect(await reserving).toMatchObject({ outcome: 'RESERVED' });
  });

  test('that wait while the ownership goes to the shop are given back as stale', async () => {
    const productId = await inventory.product(5);
    await setFence(inventory.db, 'closed');
    const under = { 'x-strangler-epoch': `${epoch}` };
    const writing = adjust(productId, under);
    const reserving = refusalOf(reserve(productId, 1, under));
    const known = epoch;
    epoch += 1;
    await flags.set('monolith', epoch);
    const answer = await writing;
    expect({ status: answer.status, later: Number(answer.headers.get('x-strangler-stale-epoch')) > known }).toEqual({
      status: 409,
      later: true,
    });
    expect(await reserving).toMatchObject({ statusName: 'ABORTED' });
  });

  test('are told of in the health', async () => {
    const { body } = await inventory.send('GET', '/health/ready');
    expect(body).toMatchObject({
      checks: { ownership: `ok: writes of inventory are the service’s under epoch ${epoch}` },
    });
  });
});
