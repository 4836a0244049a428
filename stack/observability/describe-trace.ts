import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import type { CollectedSpan, Collector } from '@strangler/platform/testing/collector.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { RowDataPacket } from 'mysql2/promise';
import type { System } from '../system/system.ts';
import { type Customer, customerOf } from './checkout.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const clientSpan = '00f067aa0ba902b7';
const productId = 3;

/** What a system needs for it: one inventory, one notifications, all processes traced and logging at `debug`. */
export const describeTrace = (the: () => { system: System; collector: Collector }): void => {
  describe('one checkout', () => {
    test('is one trace from the client to the mail, over HTTP, gRPC, the outbox and RabbitMQ, and every log line names it', async () => {
      const { system, collector } = the();
      const customer = await customerOf(system, productId);
      const giveBack = await stockAtTheService(system, customer);
      try {
        const answer = await customer.checkOut({ traceparent: `00-${traceId}-${clientSpan}-01` });
        expect(answer.status).toBe(201);

        const spans = () => collector.spans().filter((span) => span.traceId === traceId);
        const one = (service: string, name: string | RegExp) => {
          const found = spans().find(
            (span) =>
              span.service === service && (typeof name === 'string' ? span.name === name : name.test(span.name)),
          );
          if (found === undefined)
            throw new Error(
              `expected a span ${name} of ${service}, found ${spans()
                .map((span) => `${span.service}: ${span.name}`)
                .join(', ')}`,
            );
          return found;
        };
        const way = await eventually(() => [
          one('strangler-proxy', /^POST (other|\/api\/checkout)$/),
          one('strangler-proxy', 'forward POST'),
          one('monolith', 'POST /api/checkout'),
          one('monolith', 'record shop.order.placed'),
          one('relay', 'publish shop.order.placed'),
          one('notifications', 'consume shop.order.placed'),
        ]);
        let above = clientSpan;
        for (const span of way) {
          expect([span.name, span.parentSpanId]).toEqual([span.name, above]);
          above = span.spanId;
        }
        const [call, served] = await eventually(() => [
          one('monolith', /Inventory\/Reserve$/),
          one('inventory', /Inventory\/Reserve$/),
        ]);
        expect(call?.parentSpanId).toBe(way[2]?.spanId);
        expect(served).toMatchObject({ kind: 2, parentSpanId: call?.spanId });

        // Routes, names and codes: nothing of who bought, and no values.
        expect(JSON.stringify(spans())).not.toMatch(/traced\.|@shop|Bearer|tok_visa|eyJ/);
        await expectLines(system, way);
        await eventually(() => expectEveryLine(system));
      } finally {
        await giveBack();
      }
    }, 60_000);
  });
};

/** Each process that took part has a line with the trace's id, and with that of its own span in it. */
async function expectLines(system: System, way: readonly CollectedSpan[]): Promise<void> {
  const processOf: Record<string, readonly string[]> = {
    'strangler-proxy': ['proxy-1'],
    monolith: ['monolith'],
    notifications: ['notifications-1'],
  };
  await eventually(() => {
    for (const [service, names] of Object.entries(processOf)) {
      const lines = names.flatMap((name) => linesOf(system.process(name).logFile));
      const own = lines.filter((line) => line.traceId === traceId);
      const spanIds = way.filter((span) => span.service === service).map(({ spanId }) => spanId);
      expect([service, own.some(({ spanId }) => spanIds.includes(String(spanId)))]).toEqual([service, true]);
    }
    const served = linesOf(system.process('inventory-1').logFile).filter((line) => line.traceId === traceId);
    expect(served).toContainEqual(expect.objectContaining({ msg: 'gRPC call', code: 'OK' }));
  });
}

/** What each kind of work is told of by, in any process, at `debug`. */
const told = ['request', 'message', 'gRPC call', 'job done'];

/** Every line that tells of a piece of work names its request, trace and span, wherever it was written. */
export function expectEveryLine(system: System): void {
  const lines = system.processes.flatMap(({ name, logFile }) => linesOf(logFile).map((line) => ({ name, ...line })));
  for (const kind of told) {
    const own = lines.filter(({ msg }) => msg === kind);
    expect([kind, own.length > 0]).toEqual([kind, true]);
    for (const { name, requestId, traceId, spanId } of own)
      expect({ name, kind, requestId, traceId, spanId }).toEqual({
        ...{ name, kind, requestId: expect.any(String) },
        ...{ traceId: expect.stringMatching(/^[0-9a-f]{32}$/), spanId: expect.stringMatching(/^[0-9a-f]{16}$/) },
      });
  }
}

type Line = { msg?: string; requestId?: string; traceId?: string; spanId?: string; level?: string };

/** The last line may still be being written. */
export const linesOf = (file: string): Line[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);

/** Makes the inventory the owner of the stock, as at the end of a cut-over; the returned function takes it back. */
async function stockAtTheService(system: System, customer: Customer): Promise<() => Promise<void>> {
  const { databases } = system;
  const [shop, service] = [createPool(databases.mover.shopUrl), createPool(databases.mover.inventoryUrl)];
  const { store, close } = openFlagStore(system.flagStore, { log: createLog({ name: 'test', level: 'silent' }) });
  const own = async (owner: 'monolith' | 'service') => {
    const document = await changeFlag(
      store,
      'inventory',
      (before) => ({
        ...before,
        epoch: before.epoch + 1,
        stage: owner === 'service' ? 'writes' : 'monolith',
        reads: { percent: owner === 'service' ? 100 : 0, cohorts: [] },
        writes: { owner },
      }),
      { by: 'test', reason: 'a trace over gRPC' },
    );
    return document.epoch;
  };
  try {
    await service.query('INSERT IGNORE INTO products (id) VALUES (?)', [productId]);
    const [levels] = await shop.query<RowDataPacket[]>('SELECT * FROM stock_levels WHERE product_id = ?', [productId]);
    await service.query('REPLACE INTO stock_levels SET ?', [{ ...levels[0], available: 100 }]);
    const epoch = await own('service');
    await eventually(async () => {
      const text = await (await fetch(new URL('/health/ready', system.inventoryUrls[0]))).text();
      expect(text).toContain(`epoch ${epoch}`);
    });
    await eventually(async () => {
      const { orderId } = await customer.checkOut();
      const [reserved] = await service.query<RowDataPacket[]>('SELECT 1 FROM reservations WHERE order_id = ?', [
        orderId,
      ]);
      expect(reserved).toHaveLength(1);
    });
  } finally {
    await Promise.all([shop.end(), service.end()]);
  }
  return async () => {
    try {
      await own('monolith');
    } finally {
      close();
    }
  };
}
