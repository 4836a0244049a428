import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createDeadLetters } from '@strangler/platform/outbox/dead-letters.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { applyConsumerName } from '../engine/pipe/apply-consumer.ts';
import { retireTables, reviveTables } from '../engine/stages/retire-tables.ts';
import { type Pipe, type PipeProcess, startPipe } from '../testing/start-pipe.ts';

let pipe: Pipe;
let applier: PipeProcess;
beforeAll(async () => {
  pipe = await startPipe({
    label: 'revived',
    sourceSql: [
      'CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, note VARCHAR(40) NOT NULL)',
      'CREATE TABLE products (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL)',
    ],
    targetSql: [
      'CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, note VARCHAR(40) NOT NULL)',
      'CREATE TABLE products (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL)',
    ],
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
