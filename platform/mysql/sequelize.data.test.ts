import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { DataTypes, type Model, QueryTypes, type Sequelize } from 'sequelize';
import { type FreshDatabase, freshDatabase } from '../testing/servers.ts';
import { countStatements, createSequelize, jsonColumn, parseJson } from './sequelize.ts';

type Product = { id: number; name: string; price: string; attributes: unknown; made_at: Date };
type ProductModel = Model<Product, Omit<Product, 'id'>> & Product;

let database: FreshDatabase;
let sequelize: Sequelize;
let define: () => ReturnType<typeof model>;
const traced: Record<string, unknown>[] = [];
const seen: string[] = [];

const model = (on: Sequelize) =>
  on.define<ProductModel>(
    'product',
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      name: { type: DataTypes.STRING(100), allowNull: false },
      price: { type: DataTypes.DECIMAL(20, 4), allowNull: false },
      attributes: jsonColumn('attributes'),
      made_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { timestamps: false },
  );

beforeAll(async () => {
  database = await freshDatabase('sequelize');
  const log = pino({ level: 'trace' }, { write: (line: string) => void traced.push(JSON.parse(line)) });
  sequelize = createSequelize(database.url, { log, onStatement: (sql) => void seen.push(sql) });
  const products = model(sequelize);
  define = () => products;
  await products.sync();
});

afterAll(async () => {
  await sequelize?.close();
  await database?.drop();
});

const sample = () => ({
  name: 'Käse 🧀',
  price: '1234567890123456.7891',
  attributes: { tags: ['a', 'b'], size: { cm: 3 } },
  made_at: new Date('2026-07-01T10:20:30.456Z'),
});

test('JSON is an object on either engine, decimals are text, times are UTC', async () => {
  const { id } = await define().create(sample());
  const found = await define().findByPk(id, { rejectOnEmpty: true });
  expect(found.get({ plain: true })).toEqual({ id, ...sample() });
  expect(found.attributes).toEqual(sample().attributes);
  const [raw] = await sequelize.query<{ attributes: unknown; text: string }>(
    "SELECT attributes, DATE_FORMAT(made_at, '%H:%i') AS text FROM products WHERE id = ?",
    { replacements: [id], type: QueryTypes.SELECT },
  );
  expect(parseJson(raw?.attributes)).toEqual(sample().attributes);
  expect(raw?.text).toBe('10:20');
});

test('a changed JSON column is written, and null is null', async () => {
  const created = await define().create(sample());
  const found = await define().findByPk(created.id, { rejectOnEmpty: true });
  found.attributes = [1];
  await found.save();
  expect((await define().findByPk(created.id))?.attributes).toEqual([1]);
  await found.update({ attributes: null });
  expect((await define().findByPk(created.id))?.attributes).toBeNull();
});

test('a JSON column refuses what could not be told from its encoded form', () => {
  expect(() => define().build({ ...sample(), attributes: '{"a":1}' })).toThrow(
    'JSON column attributes: expected an object, an array or null, found string',
  );
});

test('statements are counted while a function runs, and not after', async () => {
  const { result, statements } = await countStatements(sequelize, async () => {
    await define().count();
    return define().findAll({ where: { name: "O'Brien" } });
  });
  expect(result).toEqual([]);
  expect(statements).toHaveLength(2);
  expect(statements[0]).toMatch(/^SELECT count/i);
  await define().count();
  expect(statements).toHaveLength(2);
  expect(seen.slice(-3)).toEqual([...statements, expect.stringMatching(/^SELECT count/i)]);
});

test('a failing function is not counted any further either', async () => {
  const failing = countStatements(sequelize, async () => {
    throw new Error('bug');
  });
  await expect(failing).rejects.toThrow('bug');
});

test('statements are traced with their duration, without the texts in them', async () => {
  await define().findAll({ where: { name: "a'b\\'secret" } });
  const line = traced.at(-1);
  expect(line).toMatchObject({ msg: 'statement', durationMs: expect.any(Number) });
  expect(line?.sql).toMatch(/`name` = '\?'/);
  expect(JSON.stringify(line)).not.toMatch(/secret/);
});
