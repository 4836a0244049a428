import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { select } from '@strangler/platform/mysql/statements.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { startTestPayments } from '../testing/payments.ts';

const directory = fileURLToPath(new URL('./schemas/', import.meta.url));
type Schema = { properties: Record<string, unknown> };
const schemaOf = (file: string) => JSON.parse(readFileSync(`${directory}${file}`, 'utf8')) as Schema;

test('the schemas are the ones that the shop has released', () => {
  const digests = Object.fromEntries(
    readdirSync(directory)
      .filter((file) => file.startsWith('payment.'))
      .map((file) => [
        file,
        createHash('sha256')
          .update(JSON.stringify(schemaOf(file)))
          .digest('hex'),
      ]),
  );
  expect(digests).toEqual({
    'payment.failed.v1.json': 'a650f717f5515f9ad1e74efc2eb1120a2dcffa9eef4eccd0f5dc2f098d2855af',
    'payment.refunded.v1.json': '579f64007405b08e4b90fccbac8cd15ee8130a15a126dee29ec1348bee706745',
    'payment.settled.v1.json': '0612f9cbbc067754ccc4570b8df94ecba6e69369357c25f29ed1ba77cc3101dc',
  });
});

test('each event is as its schema says, to the letter, and is told once', async () => {
  const ajv = new Ajv2020({ allErrors: true });
  ajvFormats.default(ajv);
  const payments = await startTestPayments('events');
  try {
    const { body } = await payments.charge(1, 'tok_good');
    await payments.send('POST', `/api/payments/${body.id}/refunds`, { token: payments.admin, key: 'r', body: {} });
    await payments.charge(2, 'tok_decline');
    type Row = { kind: string; topic: string; key: string; payload: string };
    const rows = await select<Row>(
      payments.pool,
      'SELECT kind, topic, CONVERT(subject_key USING utf8mb4) AS `key`, payload FROM strangler_outbox ORDER BY id',
    );
    const told = rows.map(({ topic, key }) => [topic, key]);
    expect(told).toEqual([
      ['shop.payment.settled', '1'],
      ['shop.payment.refunded', '1'],
      ['shop.payment.failed', '2'],
    ]);
    for (const { topic, payload } of rows) {
      const { schema_version, data } = JSON.parse(payload);
      const schema = schemaOf(`${topic.slice('shop.'.length)}.v${schema_version}.json`);
      const validate = ajv.compile({ ...schema, $id: `${topic}`, additionalProperties: false });
      validate(data);
      expect({ topic, errors: validate.errors }).toEqual({ topic, errors: null });
    }
  } finally {
    await payments.stop();
  }
});
