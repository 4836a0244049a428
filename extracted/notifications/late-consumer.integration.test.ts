import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { declareTopology, deleteDeclared, deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { migrateUp } from './database.ts';
import { eventTopology, ownTopology } from './exchanges/topology.ts';
import { type Instance, startTestService, type TestService } from './testing/notifications.ts';
import { shopEvents as events } from './testing/shop-events.ts';

let service: TestService;
let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  service = await startTestService('late');
  await declareTopology(service.rabbit, { exchange: service.exchange, consumers: [], stream: {} });
  database = await freshDatabase('late_new');
  await migrateUp(database.url, service.log);
  pool = createPool(database.url, { connectionLimit: 2 });
});
afterAll(async () => {
  await pool?.end();
  const { rabbit, exchange } = service ?? {};
  if (rabbit && exchange) {
    await deleteTopology(rabbit, { exchange, consumers: [], stream: {} });
    if (database) {
      await deleteDeclared(rabbit, ownTopology(database.name));
      await deleteTopology(rabbit, eventTopology(exchange, database.name));
    }
  }
  await service?.stop();
  await database?.drop();
});

/** What was written, of each event once, order by order as it was told. */
const written = async (of: Pool): Promise<string[]> => {
  const [rows] = await of.query<RowDataPacket[]>(
    'SELECT order_id, kind, event_id FROM notifications ORDER BY order_id, id',
  );
  return rows.map(({ order_id, kind, event_id }) => `${order_id} ${kind} ${event_id}`);
};

test('a consumer that comes long after replays the stream, and has each event once, what was told meanwhile included', async () => {
  const account = 41;
  let orders = 0;
  const tellOfAnOrder = async (): Promise<void> => {
    orders += 1;
    await service.tell(events.placed(orders, account));
    await service.tell(events.payment('settled', orders, account));
    await service.tell(events.order('shipped', orders, account));
  };
  await service.tell(events.registered(account));
  for (let n = 0; n < 15; n += 1) await tellOfAnOrder();
  const early = orders;

  const env = {
    ...{ ...programEnvironment(), DATABASE_URL: database.url, RABBITMQ_URL: service.env.RABBITMQ_URL },
    ...{ OUTBOX_EXCHANGE: service.exchange, QUEUE_PREFIX: database.name, REPLAY_IDLE: '1s' },
  };
  const replay = spawn(process.execPath, [fileURLToPath(new URL('./replay.ts', import.meta.url)), 'first'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(replay, 'exit');
  const said = text(replay.stdout);
  // While it replays, the shop goes on.
  for (let n = 0; n < 5; n += 1) await tellOfAnOrder();
  expect((await ended)[0]).toBe(0);
  expect(JSON.parse(await said).handled).toBeGreaterThanOrEqual(3 * early);

  const late: Instance = await service.another({ DATABASE_URL: database.url, QUEUE_PREFIX: database.name });
  for (let n = 0; n < 3; n += 1) await tellOfAnOrder();
  await eventually(async () => expect(await written(pool)).toHaveLength(3 * orders));
  await eventually(async () => expect(await written(service.pool)).toHaveLength(3 * orders));
  expect(await written(pool)).toEqual(await written(service.pool));
  const token = await service.issuer.token(account);
  expect((await late.send('GET', '/api/notifications?limit=100', { token })).body.items).toHaveLength(3 * orders);
});
