import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { GrpcCallOptions } from '@strangler/platform/grpc/client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { RowDataPacket } from 'mysql2/promise';
import { startTestInventory, type TestInventory } from '../testing/inventory.ts';

type Answer = {
  outcome: string;
  reservation_id: string;
  lines: { product_id: number; quantity: number }[];
  expires_at: string;
  shortages: { product_id: number; wanted: number; available: number }[];
};

let inventory: TestInventory;
let ids = 0;
beforeAll(async () => {
  // The sweeper looks too seldom to be seen here.
  inventory = await startTestInventory('reservations', { SWEEP_EVERY: '10m' });
});
afterAll(() => inventory?.stop());

const newId = (): string => {
  ids += 1;
  return `r-${ids}`;
};
const call = (method: string, request: object, options?: GrpcCallOptions) =>
  inventory.client.call<Answer>(method, request, options);
const linesOf = (...lines: [productId: number, quantity: number][]) =>
  lines.map(([product_id, quantity]) => ({ product_id, quantity }));
const reserve = (reservation_id: string, lines: object[], more: object = {}) =>
  call('Reserve', { reservation_id, lines, ttl_ms: 60_000, cause: { account_id: 8 }, ...more });
const confirm = (reservation_id: string, order_id?: number) => call('Confirm', { reservation_id, order_id });
const release = (reservation_id: string, reason = 'payment_failed') => call('Release', { reservation_id, reason });

async function refusalOf(calling: Promise<unknown>) {
  const error = await calling.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof GrpcCallError)) throw new Error(`expected a refusal, found ${String(error)}`);
  return { status: error.statusName, reason: error.metadata.get('x-reason')[0], details: error.details };
}

async function adjustmentsOf(productId: number) {
  const sql = 'SELECT delta, reason, account_id, order_id FROM stock_adjustments WHERE product_id = ? ORDER BY id';
  const [rows] = await inventory.db.query<RowDataPacket[]>(sql, [productId]);
  return rows.map(({ delta, reason, account_id, order_id }) => [delta, reason, account_id, order_id]);
}

describe('a reservation', () => {
  test('takes what is wanted, and is sold: the order stands beside what it took', async () => {
    const productId = await inventory.product(10);
    const id = newId();
    const reserved = await reserve(id, linesOf([productId, 3]));
    expect(reserved).toMatchObject({ outcome: 'RESERVED', reservation_id: id, lines: linesOf([productId, 3]) });
    expect(Date.parse(reserved.expires_at)).toBeGreaterThan(Date.now());
    expect(await inventory.available(productId)).toBe(7);
    expect(await confirm(id, 500)).toMatchObject({ outcome: 'CONFIRMED' });
    expect(await inventory.available(productId)).toBe(7);
    expect(await adjustmentsOf(productId)).toEqual([
      [10, 'initial', 1, null],
      [-3, 'order placed', 8, 500],
    ]);
    expect((await inventory.send('GET', `/api/inventory/${productId}`)).body).toMatchObject({
      available: 7,
      version: 2,
    });
  });

  test('that is released gives back what it took', async () => {
    const productId = await inventory.product(4);
    const id = newId();
    await reserve(id, linesOf([productId, 4]));
    expect(await release(id)).toMatchObject({ outcome: 'RELEASED' });
    expect(await inventory.available(productId)).toBe(4);
    expect((await adjustmentsOf(productId)).at(-1)).toEqual([4, 'reservation released', 8, null]);
  });

  test('names everything that is short, and keeps nothing', async () => {
    const [plenty, few, none] = [await inventory.product(10), await inventory.product(1), await inventory.product()];
    const id = newId();
    const lines = linesOf([none, 2], [few, 2], [plenty, 2]);
    expect(await reserve(id, lines)).toMatchObject({
      outcome: 'SHORT',
      lines: [],
      shortages: [
        { product_id: few, wanted: 2, available: 1 },
        { product_id: none, wanted: 2, available: 0 },
      ],
    });
    expect(await inventory.available(plenty)).toBe(10);
    expect(await refusalOf(confirm(id))).toMatchObject({ status: 'NOT_FOUND', reason: 'unknown-reservation' });
    expect(await reserve(id, linesOf([plenty, 2]))).toMatchObject({ outcome: 'RESERVED' });
  });

  test('is made once, however often and at however many instances it is asked for at once', async () => {
    const productId = await inventory.product(10);
    const other = await inventory.another();
    const id = newId();
    const request = { reservation_id: id, lines: linesOf([productId, 2]), ttl_ms: 60_000 };
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? inventory : other).client.call<Answer>('Reserve', request)),
    );
    expect(new Set(answers.map(({ outcome, expires_at }) => `${outcome} ${expires_at}`)).size).toBe(1);
    expect(await inventory.available(productId)).toBe(8);
  });

  test('of other lines under the same id is refused, with nothing done', async () => {
    const productId = await inventory.product(10);
    const id = newId();
    await reserve(id, linesOf([productId, 2]));
    expect(await refusalOf(reserve(id, linesOf([productId, 3])))).toMatchObject({
      status: 'ALREADY_EXISTS',
      reason: 'other-lines',
    });
    expect(await inventory.available(productId)).toBe(8);
  });

  test('that is released before it was made is never made, by a call that comes late', async () => {
    const productId = await inventory.product(10);
    const id = newId();
    for (let time = 0; time < 2; time += 1) expect(await release(id)).toMatchObject({ outcome: 'RELEASED', lines: [] });
    expect(await reserve(id, linesOf([productId, 2]))).toMatchObject({ outcome: 'RELEASED', lines: [] });
    expect(await inventory.available(productId)).toBe(10);
  });

  test('is not surrendered while the stock is this service’s', async () => {
    const id = newId();
    await reserve(id, linesOf([await inventory.product(10), 2]));
    expect(await refusalOf(inventory.client.call('Surrender', { reservation_id: id }))).toMatchObject({
      status: 'FAILED_PRECONDITION',
      reason: 'owned-here',
    });
  });

  test('is what it has become for whoever comes later: one of a closed set of outcomes', async () => {
    const productId = await inventory.product(100);
    const lines = linesOf([productId, 1]);
    const [sold, given, late] = [newId(), newId(), newId()];
    for (const id of [sold, given]) await reserve(id, lines);
    await reserve(late, lines, { ttl_ms: 1_000 });
    await confirm(sold);
    await release(given);
    inventory.clock.advance(1_000);
    const outcomesOf = async (id: string) => {
      const all = [await confirm(id), await release(id), await reserve(id, lines), await confirm(id)];
      return new Set(all.map(({ outcome }) => outcome));
    };
    expect(await outcomesOf(sold)).toEqual(new Set(['CONFIRMED']));
    expect(await outcomesOf(given)).toEqual(new Set(['RELEASED']));
    // Nobody had swept it: whoever comes first puts its stock back.
    expect(await outcomesOf(late)).toEqual(new Set(['EXPIRED']));
    expect(await inventory.available(productId)).toBe(99);
    expect((await adjustmentsOf(productId)).at(-1)).toEqual([1, 'reservation expired', null, null]);
  });

  test('that is confirmed, released and looked at as expired at once ends in one way, and its stock with it', async () => {
    for (let round = 0; round < 8; round += 1) {
      const productId = await inventory.product(5);
      const id = newId();
      await reserve(id, linesOf([productId, 5]), { ttl_ms: 1_000 });
      if (round % 2 === 1) inventory.clock.advance(1_000);
      const outcomes = await Promise.all([
        confirm(id),
        release(id),
        inventory.reservations.expire(id).then(() => confirm(id)),
        confirm(id),
      ]);
      const final = new Set(outcomes.map(({ outcome }) => outcome));
      expect(final.size).toBe(1);
      const [state = ''] = final;
      expect(round % 2 === 1 ? ['EXPIRED'] : ['CONFIRMED', 'RELEASED']).toContain(state);
      expect(await inventory.available(productId)).toBe(state === 'CONFIRMED' ? 0 : 5);
    }
  });

  test('belongs to one order, and an order to one reservation', async () => {
    const productId = await inventory.product(10);
    const [first, second] = [newId(), newId()];
    for (const id of [first, second]) await reserve(id, linesOf([productId, 1]));
    await confirm(first, 601);
    for (const [id, order] of [
      [first, 602],
      [second, 601],
    ] as const) {
      expect(await refusalOf(confirm(id, order))).toMatchObject({ status: 'ALREADY_EXISTS', reason: 'other-order' });
    }
    expect(await confirm(first, 601)).toMatchObject({ outcome: 'CONFIRMED' });
    const asked = reserve(newId(), linesOf([productId, 1]), { cause: { order_id: 601 } });
    expect(await refusalOf(asked)).toMatchObject({ status: 'ALREADY_EXISTS', reason: 'other-order' });
    expect(await inventory.available(productId)).toBe(8);
  });

  test('of the same products in opposite order is not waited for in a circle', async () => {
    const [a, b] = [await inventory.product(100), await inventory.product(100)];
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        reserve(newId(), n % 2 === 0 ? linesOf([a, 1], [b, 1]) : linesOf([b, 1], [a, 1])),
      ),
    );
    expect(answers.every(({ outcome }) => outcome === 'RESERVED')).toBe(true);
    expect([await inventory.available(a), await inventory.available(b)]).toEqual([80, 80]);
    const metrics = (await inventory.send('GET', '/metrics')).text;
    expect(metrics).not.toMatch(/inventory_transaction_retries_total\{conflict="lock-wait"/);
  });
});

describe('what a cancelled order gives back', () => {
  const giveBack = (order_id: number, lines: object[], more: object = {}) =>
    call('GiveBack', { order_id, lines, account_id: 8, ...more });

  test('is what its reservation sold, once', async () => {
    const productId = await inventory.product(10);
    const id = newId();
    await reserve(id, linesOf([productId, 4]));
    await confirm(id, 700);
    for (let time = 0; time < 2; time += 1) {
      expect(await giveBack(700, linesOf([productId, 4]))).toMatchObject({ outcome: 'RETURNED', reservation_id: id });
    }
    expect(await inventory.available(productId)).toBe(10);
    expect((await adjustmentsOf(productId)).at(-1)).toEqual([4, 'order cancelled', 8, 700]);
    expect(await confirm(id, 700)).toMatchObject({ outcome: 'RETURNED' });
  });

  test('is put back once for an order that was sold without a reservation, by however many at once', async () => {
    const productId = await inventory.product(10);
    const answers = await Promise.all(Array.from({ length: 6 }, () => giveBack(701, linesOf([productId, 2]))));
    expect(new Set(answers.map(({ outcome }) => outcome))).toEqual(new Set(['RETURNED']));
    expect(await inventory.available(productId)).toBe(12);
    expect(await refusalOf(giveBack(701, linesOf([productId, 3])))).toMatchObject({ reason: 'other-lines' });
  });

  test('of an order whose confirmation never came is put back once: not by this and by its expiry', async () => {
    const productId = await inventory.product(10);
    const id = newId();
    await reserve(id, linesOf([productId, 4]), { ttl_ms: 1_000 });
    const named = { reservation_id: id };
    expect(await giveBack(702, linesOf([productId, 4]), named)).toMatchObject({ outcome: 'RETURNED' });
    inventory.clock.advance(2_000);
    await inventory.reservations.expire(id);
    expect(await confirm(id, 702)).toMatchObject({ outcome: 'RETURNED' });
    expect(await inventory.available(productId)).toBe(10);
    const unknown = giveBack(703, linesOf([productId, 4]), { reservation_id: 'never-made' });
    expect(await refusalOf(unknown)).toMatchObject({ status: 'NOT_FOUND', reason: 'unknown-reservation' });
  });

  test('was never here where the product has no stock level', async () => {
    const productId = await inventory.product();
    expect(await refusalOf(giveBack(704, linesOf([productId, 1])))).toMatchObject({
      status: 'FAILED_PRECONDITION',
      reason: 'never-in-stock',
    });
  });
});

describe('calls', () => {
  test('that are not valid are refused, naming everything', async () => {
    const id = newId();
    const bad = call('Reserve', { reservation_id: 'no spaces', lines: linesOf([0, 1], [2, 0]), ttl_ms: 10 });
    const { status, details } = await refusalOf(bad);
    expect(status).toBe('INVALID_ARGUMENT');
    for (const path of ['reservation_id:', 'lines[0].product_id:', 'lines[1].quantity:', 'ttl_ms:']) {
      expect(details).toContain(path);
    }
    expect(await refusalOf(reserve(id, linesOf([1, 1], [1, 2])))).toMatchObject({
      details: 'lines: must name each product once',
    });
    expect(await refusalOf(reserve(id, []))).toMatchObject({ status: 'INVALID_ARGUMENT' });
    expect(await refusalOf(reserve(id, linesOf([1, 1]), { ttl_ms: 86_400_000 }))).toMatchObject({
      status: 'INVALID_ARGUMENT',
    });
    expect(await refusalOf(release(id, 'No Word'))).toMatchObject({ status: 'INVALID_ARGUMENT' });
    expect(await refusalOf(call('GetStock', { ids: [] }))).toMatchObject({ status: 'INVALID_ARGUMENT' });
  });

  test('that are over do nothing: what they waited for is left to others', async () => {
    const productId = await inventory.product(5);
    const blocker = await inventory.db.getConnection();
    await blocker.query('START TRANSACTION');
    await blocker.query('SELECT * FROM stock_levels WHERE product_id = ? FOR UPDATE', [productId]);
    const [timedOut, cancelled] = [newId(), newId()];
    const request = (reservation_id: string) => ({ reservation_id, lines: linesOf([productId, 1]), ttl_ms: 60_000 });
    const late = refusalOf(call('Reserve', request(timedOut), { deadlineMs: 300 }));
    const stopping = new AbortController();
    const left = call('Reserve', request(cancelled), { signal: stopping.signal });
    left.catch(() => {});
    expect((await late).status).toBe('DEADLINE_EXCEEDED');
    stopping.abort(new Error('enough'));
    await expect(left).rejects.toThrow('enough');
    await blocker.query('ROLLBACK');
    blocker.release();
    await eventually(() => inventory.grpc.inFlight() === 0);
    for (const id of [timedOut, cancelled]) expect(await refusalOf(confirm(id))).toMatchObject({ status: 'NOT_FOUND' });
    expect(await inventory.available(productId)).toBe(5);
  });

  test('for stock tell of what there is and name what there is not', async () => {
    const [stocked, bare, archived] = [
      await inventory.product(6),
      await inventory.product(),
      await inventory.product(1),
    ];
    await inventory.db.query('UPDATE products SET archived_at = ? WHERE id = ?', [new Date(), archived]);
    const answer = await inventory.client.call('GetStock', { ids: [archived, stocked, 99_999, bare, stocked] });
    expect(answer).toEqual({
      levels: [
        { product_id: stocked, available: 6, version: 1, updated_at: expect.stringMatching(/Z$/) },
        { product_id: bare, available: 0, version: 0, updated_at: '' },
      ],
      missing_ids: [archived, 99_999],
    });
  });
});
