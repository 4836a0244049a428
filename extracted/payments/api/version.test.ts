import { expect, test } from '@jest/globals';
import { negotiate } from './version.ts';

const v1 = 'application/vnd.shop.payments.v1+json';
const v2 = 'application/vnd.shop.payments.v2+json';
const v9 = 'application/vnd.shop.payments.v9+json';

test.each([
  ['nothing said', undefined, undefined, undefined, 1, false],
  ['anything will do', undefined, '*/*', undefined, 1, false],
  ['the second by Accept', undefined, v2, undefined, 2, true],
  ['the first by Accept', undefined, v1, undefined, 1, true],
  ['both, the newest wins', undefined, `${v1}, ${v2}`, undefined, 2, true],
  ['one refused by its weight', undefined, `${v2};q=0, ${v1}`, undefined, 1, true],
  ['the second by the body', undefined, undefined, `${v2}; charset=utf-8`, 2, false],
  ['an unknown one, or anything', undefined, `${v9}, */*`, undefined, 1, false],
  ['the path', 2 as const, 'application/json', undefined, 2, false],
  ['the path and Accept alike', 2 as const, v2, undefined, 2, true],
  ['a page of another kind', undefined, 'text/html', undefined, 1, false],
])('%s', (_name, pathVersion, accept, contentType, version, named) => {
  expect(negotiate({ pathVersion, accept, contentType })).toEqual({ kind: 'version', version, named });
});

test.each([
  ['a version that there is not', undefined, v9],
  ['another version than the path has', 2 as const, v1],
])('%s is not acceptable', (_name, pathVersion, accept) => {
  expect(negotiate({ pathVersion, accept, contentType: undefined })).toEqual({ kind: 'not_acceptable' });
});
