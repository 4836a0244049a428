import { expect, test } from '@jest/globals';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { rulesOfSlice } from './rules-of-slice.ts';

const text = `slice: stock
service: stock
routes: [ GET /stock/:id, POST /stock/:id/changes ]
compare:
  ignore:
    - { path: $..at, route: "POST *", reason: two clocks, by: tests }
    - { path: $.host, reason: each says its own, by: tests }
`;

test('a rule that names a route holds for requests of that route, and of no other', () => {
  const { slice, faults } = parseSliceFile(text, 'slice.yaml');
  if (slice === null) throw new Error(JSON.stringify(faults));
  const rules = rulesOfSlice(slice);
  const ignored = (method: string, path: string, member: string) =>
    rules({ method, path }).ignoredBy({ in: 'json', scope: { in: 'body' }, place: [member] }) !== null;
  expect(ignored('POST', '/stock/7/changes', 'at')).toBe(true);
  expect(ignored('GET', '/stock/7?x=1', 'at')).toBe(false);
  expect(ignored('POST', '/elsewhere', 'at')).toBe(false);
  for (const [method, path] of [
    ['POST', '/stock/7/changes'],
    ['GET', '/stock/7'],
    ['GET', '/elsewhere'],
  ] as const)
    expect(ignored(method, path, 'host')).toBe(true);
});
