// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are the placeholders of scenarios
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { SideAnswer } from '../http/side.ts';
import { readScenario, ScenarioError } from './scenario.ts';
import { fillIn, fillText, renumber, stepsIn, TemplateError } from './template.ts';

const answer = (json: unknown, headers: [string, string][] = []): SideAnswer => {
  return { status: 200, headers, bytes: Buffer.from(JSON.stringify(json)), isWhole: true, json, latencyMs: 0 };
};
const answers = [answer({ items: [{ id: 7, name: 'a' }] }), answer({ id: 9 }, [['etag', '"x"']])];

test('what an earlier answer has told is filled in, with its type where it stands alone', () => {
  expect(fillText('/things/${1:$.items[0].id}?x=${2:$.id}', answers)).toBe('/things/7?x=9');
  expect(
    fillIn({ a: ['${1:$.items[0].id}', 'n ${1:$.items[0].name}'], b: null, tag: '${2:header ETag}' }, answers),
  ).toEqual({
    a: [7, 'n a'],
    b: null,
    tag: '"x"',
  });
});

test('what is not there is told, with the step and what it was answered', () => {
  expect(() => fillText('${1:$.items[4].id}', answers)).toThrow(TemplateError);
  expect(() => fillText('${3:$.id}', answers)).toThrow('there is no step 3');
});

test('a text without placeholders stays as it is', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/\$\{\d/.test(text));
      expect(fillText(text, [])).toBe(text);
    }),
  );
});

test('steps can be given other numbers', () => {
  const step = { path: '/a/${4:$.id}', headers: { x: '${2:header etag}' } };
  expect(stepsIn(step)).toEqual([4, 2]);
  const numbers = new Map([
    [4, 2],
    [2, 1],
  ]);
  expect(renumber(step, numbers)).toEqual({ path: '/a/${2:$.id}', headers: { x: '${1:header etag}' } });
});

test('a file that is no scenario is told with every fault', () => {
  expect(() => readScenario({ name: 'x', steps: [{ method: 'get', path: 'a' }] }, 'f.json')).toThrow(ScenarioError);
  expect(() => readScenario({ steps: [] }, 'f.json')).toThrow(
    /f\.json: expected a scenario, found faults:\n {2}name: .*\n {2}steps: /s,
  );
});
