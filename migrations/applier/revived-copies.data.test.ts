import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createFileFlagStore } from '@strangler/platform/flags/file-store.ts';
import { createDeadLetters } from '@strangler/platform/outbox/dead-letters.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { openWork } from '../engine/cutover/open-work.fixture.ts';
import { applyConsumerName } from '../engine/pipe/apply-consumer.ts';
import { complete } from '../engine/stages/complete.ts';
import { retireTables, reviveTables } from '../engine/stages/retire-tables.ts';
import { type Pipe, type PipeProcess, startPipe } from '../testing/start-pipe.ts';

const tables = [
  'CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, note VARCHAR(40) NOT NULL)',
  'CREATE TABLE products (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL)',
];

let pipe: Pipe;
let applier: PipeProcess;
beforeAll(async () => {
  pipe = await startPipe({
    label: 'revived',
    sourceSql: tables,
    targetSql: tables,
    slice: {
      tables: `  - source: orders
    target: orders
    columns: { id: id, note: note }
  - source: products
    target: products
    reference: true
    until: catalog
    columns: { id: id, name: name }
`,
    },
  });
  applier = pipe.appliers[0] as PipeProcess;
});
afterAll(() => pipe?.close());

const copied = async () => (await pipe.target.pool.query('SELECT id, name FROM products ORDER BY id'))[0];
const products = () => ({ slice: 'catalog', database: pipe.source.name, tables: ['products'] });
const write = (sql: string) => pipe.source.pool.query(sql);

test('a copy that had ended is kept again as soon as its own slice has brought the table back, by an applier that began without it', async () => {
  await write("INSERT INTO products VALUES (1, 'lamp')");
  await pipe.empty();
  expect(await copied()).toEqual([{ id: 1, name: 'lamp' }]);

  await retireTables(pipe.open('forward').source.write, products());
  expect(await applier.stop()).toBe(0);
  await applier.start();
  await write("INSERT INTO orders VALUES (7, 'begun without the products')");
  await pipe.empty();

  await reviveTables(pipe.open('forward').source.write, products());
  await write("UPDATE products SET name = 'a lamp' WHERE id = 1");
  await write("INSERT INTO orders VALUES (8, 'after them')");
  await eventually(async () => expect(await copied()).toEqual([{ id: 1, name: 'a lamp' }]));
  await pipe.empty();
  expect(await pipe.deadLetters()).toEqual([]);
});

test('a change that is still under way when its copy has ended is kept as a dead letter, and can be replayed', async () => {
  expect(await applier.stop()).toBe(0);
  await write("UPDATE products SET name = 'late' WHERE id = 1");
  await eventually(async () => (await pipe.unpublished()) === 0);
  await retireTables(pipe.open('forward').source.write, products());
  await applier.start();
  await eventually(async () =>
    expect(await pipe.deadLetters()).toMatchObject([{ reason: expect.stringMatching(/^products: /) }]),
  );
  expect(await copied()).toEqual([{ id: 1, name: 'a lamp' }]);

  await reviveTables(pipe.open('forward').source.write, products());
  expect(await createDeadLetters(pipe.rabbit).replay(applyConsumerName(pipe.slice.slice), 'all')).toBe(1);
  await eventually(async () => expect(await copied()).toEqual([{ id: 1, name: 'late' }]));
});

test('what was kept of the table may be dropped: the rest is copied on, and by an applier that begins then, too', async () => {
  await retireTables(pipe.open('forward').source.write, products());
  // As if dropped; the next test needs it still.
  await write('RENAME TABLE strangler_old_products TO elsewhere');
  expect(await applier.stop()).toBe(0);
  await applier.start();
  await write("INSERT INTO orders VALUES (9, 'after the drop')");
  await eventually(async () =>
    expect((await pipe.target.pool.query('SELECT note FROM orders WHERE id = 9'))[0]).toHaveLength(1),
  );
  await write('RENAME TABLE elsewhere TO strangler_old_products');
});

test('a copy that had ended is kept again also where its own slice was completed meanwhile', async () => {
  const ended = pipe.slice.tables.filter(({ source }) => source === 'products');
  const { consulUrl, rabbitmqUrl } = testServers();
  const { work, close } = openWork({
    ...{ slice: pipe.slice, folder: pipe.folder, exchange: pipe.exchange, ended },
    ...{ monolithUrl: pipe.source.adminUrl, serviceUrl: pipe.target.adminUrl },
    ...{ consulUrl, rabbitmqUrl, root: pipe.slice.slice, proxyService: 'none' },
  });
  pipe.onClose(close);
  await pipe.setStage('complete');
  const stored = await createFileFlagStore(new URL(pipe.flags).pathname).get(pipe.slice.slice);
  await complete(work, stored!.document, { force: false, settleMs: 0 });
  await expect(write("INSERT INTO orders VALUES (10, 'gone')")).rejects.toMatchObject({ errno: 1146 });

  await reviveTables(work.forward.source.write, products());
  await write("UPDATE products SET name = 'last' WHERE id = 1");
  await eventually(async () => expect(await copied()).toEqual([{ id: 1, name: 'last' }]));
});
