import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { repositoryRoot } from '../home/paths.ts';
import { addExposition, missing, nothingExposed } from './exposition.ts';
import { readingsOf } from './promql.ts';
import { alertFiles, alertRules, panelExpressions, rulesIn } from './rules.ts';

test('every expression of alerts and dashboard is PromQL that reads a metric', () => {
  for (const { expr } of [...alertRules(), ...panelExpressions()])
    expect([expr, readingsOf(expr).length > 0]).toEqual([expr, true]);
  expect(() => readingsOf('sum by (slice) rate(x[5m]')).toThrow(/expected PromQL/);
});

test('an expression reads its metrics with the labels that it matches, and that it is grouped by', () => {
  const text = 'sum by (slice, le) (rate(a_bucket{side="x"}[5m])) / on(slice) max by (instance) (b) > 0';
  expect(readingsOf(text)).toEqual([
    { metric: 'a_bucket', labels: ['side', 'slice', 'le'] },
    { metric: 'b', labels: [] },
  ]);
});

test('a metric or a label that nobody has is told of by name, and a metric without samples is not asked for labels', () => {
  const exposed = nothingExposed();
  addExposition(exposed, '# TYPE a histogram\na_bucket{slice="x",le="1"} 1\n# TYPE c counter\n');
  expect(missing({ metric: 'a_bucket', labels: ['slice', 'le'] }, exposed)).toBeNull();
  expect(missing({ metric: 'a_bucket', labels: ['side'] }, exposed)).toMatch(/no label side/);
  expect(missing({ metric: 'a_sum', labels: ['any'] }, exposed)).toBeNull();
  expect(missing({ metric: 'c', labels: ['any'] }, exposed)).toBeNull();
  expect(missing({ metric: 'b', labels: [] }, exposed)).toMatch(/no process has a metric b/);
});

test.each(alertFiles)(
  'every alert has a name of its own and a runbook in $page, and every section there an alert',
  (file) => {
    const rules = rulesIn(file);
    const page = readFileSync(join(repositoryRoot, file.page), 'utf8');
    const sections = [...page.matchAll(/^### (\S+)$/gm)].map(([, name]) => name);
    expect(sections.toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
    for (const { alert, annotations } of rules) expect(annotations.runbook).toBe(`${file.page}#${alert.toLowerCase()}`);
    for (const section of page.split(/^### /m).slice(1)) {
      for (const part of ['**Means.**', '**Do.**', '**See.**'])
        expect([section.split('\n', 1)[0], part, section.includes(part)]).toEqual([
          section.split('\n', 1)[0],
          part,
          true,
        ]);
    }
  },
);
