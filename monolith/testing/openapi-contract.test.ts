import { describe, expect, test } from '@jest/globals';
import { openApiDocument } from '../openapi/document.ts';
import { type Answer, ContractViolation, createContract, describedOperations } from './openapi-contract.ts';

const document = openApiDocument();
const contract = createContract(document);

const found = (change: Partial<Answer> = {}): Answer => ({
  method: 'GET',
  path: '/api/products/7/reviews?limit=2',
  status: 200,
  headers: new Headers({ 'content-type': 'application/json; charset=utf-8', etag: '"x"', 'cache-control': 'no-cache' }),
  text: '{"items":[],"next_cursor":null}',
  ...change,
});

describe('the contract', () => {
  test('an answer as described passes', () => {
    expect(() => contract.check(found())).not.toThrow();
  });

  test.each<[string, Partial<Answer>]>([
    ['an operation that is not described', { path: '/api/nothing' }],
    ['a method that is not described', { method: 'PUT' }],
    ['a status that is not described', { status: 418 }],
    ['a body without a required field', { text: '{"items":[]}' }],
    ['a body with a field too many', { text: '{"items":[],"next_cursor":null,"total":0}' }],
    [
      'another content type',
      { headers: new Headers({ 'content-type': 'text/html', etag: '"x"', 'cache-control': 'no-cache' }) },
    ],
    ['a missing header', { headers: new Headers({ 'content-type': 'application/json', 'cache-control': 'no-cache' }) }],
    [
      'a header of another form',
      { headers: new Headers({ 'content-type': 'application/json', etag: 'x', 'cache-control': 'no-cache' }) },
    ],
    ['a body where there is none', { method: 'DELETE', path: '/api/products/7', status: 204 }],
  ])('%s is a violation', (_what, change) => {
    expect(() => contract.check(found(change))).toThrow(ContractViolation);
  });

  test('every schema of the document compiles, and every reference leads somewhere', () => {
    for (const name of Object.keys(document.components?.schemas ?? {})) {
      expect(() => resolve(`#/components/schemas/${name}`)).not.toThrow();
    }
    for (const [, ref] of JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g))
      expect(resolve(ref ?? '')).toBeDefined();
  });

  test('every operation has an id of its own', () => {
    const ids = Object.values(document.paths ?? {}).flatMap((item) =>
      Object.values(item ?? {}).flatMap((operation) =>
        typeof operation === 'object' && 'operationId' in operation ? [operation.operationId] : [],
      ),
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toHaveLength(describedOperations(document).length);
  });
});

function resolve(ref: string): unknown {
  return ref
    .slice(2)
    .split('/')
    .reduce<unknown>((node, part) => (node as Record<string, unknown>)[part.replaceAll('~1', '/')], document);
}
