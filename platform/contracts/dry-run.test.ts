import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type DryRunAnswer, decodeEffects, effectsMaxBytes, encodeEffects, parseDryRunAnswer } from './dry-run.ts';

const event = fc.record({ type: fc.string(), key: fc.string(), payload: fc.jsonValue() });

test('effects that fit into a header come out of it as they were', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 5 }), (events) => {
      const value = encodeEffects({ events });
      if (value === undefined) return;
      expect(value).toMatch(/^[\w-]*$/);
      expect(decodeEffects(value)).toEqual(JSON.parse(JSON.stringify({ events })));
    }),
  );
});

test('effects that are too long for a header are not told', () => {
  expect(encodeEffects({ events: [{ type: 't', key: 'k', payload: 'x'.repeat(effectsMaxBytes) }] })).toBeUndefined();
  expect(decodeEffects('A'.repeat(effectsMaxBytes + 1))).toBeUndefined();
});

test('what is no header of effects tells nothing', () => {
  for (const value of [undefined, '', '%', 'e30', ['e30', 'e30']]) expect(decodeEffects(value)).toBeUndefined();
});

test('only what has the whole shape is the answer to a dry run', () => {
  const answer: DryRunAnswer = {
    answer: { status: 201, headers: [['location', '/api/products/1']], bodyBase64: 'e30=' },
    effects: { events: [{ type: 'product.created', key: '1', payload: { id: 1 } }] },
  };
  expect(parseDryRunAnswer(JSON.stringify(answer))).toEqual(answer);
  for (const text of ['', '{}', '[]', '{"answer":{"status":200}}']) expect(parseDryRunAnswer(text)).toBeUndefined();
});
