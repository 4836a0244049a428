import { expect, test } from '@jest/globals';
import { staleEpochHeader, staleEpochOf, staleEpochProblem, staleEpochProblemType } from './stale-epoch.ts';

test('a service’s refusal of a stale epoch names both epochs, and a proxy reads the newer one from it', () => {
  const problem = staleEpochProblem(7, 9);
  expect(problem.toJSON()).toMatchObject({ type: staleEpochProblemType, status: 409, sent_epoch: 7, known_epoch: 9 });
  expect(staleEpochOf(problem.status, problem.headers[staleEpochHeader])).toBe(9);
});

test('nothing but a 409 with one whole number in the header is such a refusal', () => {
  for (const header of [undefined, '', '0', '-1', '1.5', '9, 9', '9 ', '1e3', ['9', '9'], '9'.repeat(20)]) {
    expect(staleEpochOf(409, header)).toBeNull();
  }
  for (const status of [undefined, 200, 400, 412, 503]) expect(staleEpochOf(status, '9')).toBeNull();
});
