import { describe, expect, test } from '@jest/globals';
import { operationOf, undescribed } from './operation.ts';
import { ApiDescriptionError } from './place.ts';
import { readApiDescription } from './read-description.ts';

const text = `openapi: 3.1.0
security: []
paths:
  x-owner: nobody
  /api/products:
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1 } }
        - { name: sid, in: cookie, schema: { type: string } }
        - $ref: "#/components/parameters/Sort"
      responses: { "200": {}, "304": {}, "4XX": {}, "500": {}, default: {} }
    post:
      security: [{ account: [] }]
      requestBody: { $ref: "#/components/requestBodies/Product" }
      responses: { "201": {}, "401": {} }
  /api/products/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { $ref: "#/components/schemas/Id" } }
      - { name: lang, in: query, schema: { type: string } }
    get:
      security: [{}, { account: [] }]
      parameters: [{ name: lang, in: query, required: true, schema: { enum: [de, fr] } }]
      responses: { "200": {}, "404": {} }
components:
  parameters:
    Sort:
      name: sort
      in: query
      schema: { enum: [name, -name] }
      examples: { up: { $ref: "#/components/examples/Up" } }
  examples:
    Up: { value: name }
  schemas:
    Id: { type: integer, minimum: 1 }
    a/b ~c: { type: string }
    Node: { type: object, properties: { child: { $ref: "#/components/schemas/Node" } } }
    Product:
      type: object
      required: [name]
      properties:
        name: { type: string }
        id: { $ref: "#/components/schemas/Id" }
        odd: { $ref: "#/components/schemas/a~1b%20~0c" }
        any: true
      additionalProperties: { $ref: "#/components/schemas/Id" }
      propertyNames: { pattern: "^[a-z]+$" }
  requestBodies:
    Product:
      content:
        text/plain: {}
        application/json:
          example: { name: Lamp }
          schema: { $ref: "#/components/schemas/Product" }
        application/merge-patch+json; charset=utf-8: { schema: { oneOf: [{ $ref: "#/components/schemas/Id" }] } }
`;
const operations = readApiDescription(text, 'api.yaml');

describe('an OpenAPI description', () => {
  test('is read operation by operation, in its order, references followed', () => {
    expect(operations.map(({ method, path, route }) => [method, path, route])).toEqual([
      ['GET', '/api/products', '/api/products'],
      ['POST', '/api/products', '/api/products'],
      ['GET', '/api/products/{id}', '/api/products/:id'],
    ]);
    const [list, create, one] = operations;
    expect(list).toMatchObject({ statusClasses: ['2xx', '3xx', '4xx'], signedIn: 'never', bodies: [] });
    expect(list!.parameters).toEqual([
      { in: 'query', name: 'limit', required: false, schema: { type: 'integer', minimum: 1 }, examples: [] },
      { in: 'query', name: 'sort', required: false, schema: { enum: ['name', '-name'] }, examples: ['name'] },
    ]);
    expect(create).toMatchObject({ signedIn: 'must', statusClasses: ['2xx', '4xx'] });
    expect(one).toMatchObject({ signedIn: 'may', statusClasses: ['2xx', '4xx'] });
  });

  test("has an operation's own parameter in place of the path's", () => {
    expect(operations[2]!.parameters).toEqual([
      { in: 'path', name: 'id', required: true, schema: { type: 'integer', minimum: 1 }, examples: [] },
      { in: 'query', name: 'lang', required: true, schema: { enum: ['de', 'fr'] }, examples: [] },
    ]);
  });

  test('has the forms of JSON that a body may have, the usual one first', () => {
    expect(operations[1]!.bodies).toEqual([
      {
        mediaType: 'application/json',
        example: { name: 'Lamp' },
        schema: {
          type: 'object',
          required: ['name'],
          properties: {
            name: { type: 'string' },
            id: { type: 'integer', minimum: 1 },
            odd: { type: 'string' },
            any: {},
          },
          additionalProperties: { type: 'integer', minimum: 1 },
          propertyNames: { pattern: '^[a-z]+$' },
        },
      },
      {
        mediaType: 'application/merge-patch+json; charset=utf-8',
        example: undefined,
        schema: { oneOf: [{ type: 'integer', minimum: 1 }] },
      },
    ]);
  });

  test('may be JSON, and YAML with merged members', () => {
    const [read] = readApiDescription('{"openapi":"3.0.3","paths":{"/a":{"get":{}}}}', 'api.json');
    expect(read).toMatchObject({ method: 'GET', path: '/a', statusClasses: [], signedIn: 'never' });
    const merged = 'openapi: 3.2.0\npaths: { /a: { get: &g { security: [{ a: [] }] }, put: { <<: *g } } }';
    expect(readApiDescription(merged, 'api.yaml').map(({ signedIn }) => signedIn)).toEqual(['must', 'must']);
  });

  test('with a schema that holds itself ends, and allows anything from there on', () => {
    const circular = text
      .replace('requestBodies/Product" }', 'requestBodies/Node" }')
      .concat('    Node: { content: { application/json: { schema: { $ref: "#/components/schemas/Node" } } } }\n');
    const [body] = readApiDescription(circular, 'api.yaml')[1]!.bodies;
    expect(JSON.stringify(body!.schema)).toMatch(/^(\{"type":"object","properties":\{"child":){7}\{\}(\}\}){7}$/);
  });

  test.each<[string, string]>([
    ['{', 'api.yaml: expected YAML or JSON, found something else: '],
    [
      'swagger: "2.0"\npaths: {}',
      'api.yaml: expected an OpenAPI description of version 3.0, 3.1 or 3.2, found version "2.0"; ',
    ],
    ['[]', 'api.yaml: expected an OpenAPI description of version 3.0, 3.1 or 3.2, found no version; '],
    ['<html>', 'found no version'],
    ['openapi: 4.0.0\npaths: {}', 'found version "4.0.0"'],
    ['openapi: 3.1.0', 'api.yaml: $.paths: is required, found nothing; '],
    ['openapi: 3.1.0\npaths: { a: {} }', 'api.yaml: $.paths.a: expected a path that begins with "/", found "a"; '],
    ['openapi: 3.1.0\npaths: { /a: [] }', 'api.yaml: $.paths["/a"]: must be an object, found []; '],
    [
      'openapi: 3.1.0\npaths: { /a: { get: { parameters: [{ in: body, name: a }] } } }',
      'api.yaml: $.paths["/a"].get.parameters[0].in: must be one of "path", "query", "header", "cookie", found "body"; ',
    ],
    [
      'openapi: 3.1.0\npaths: { /a: { get: { parameters: [{ in: query }] } } }',
      'api.yaml: $.paths["/a"].get.parameters[0].name: is required, found nothing; ',
    ],
    [
      'openapi: 3.1.0\npaths: { /a: { get: { responses: { 20O: {} } } } }',
      'api.yaml: $.paths["/a"].get.responses["20O"]: expected a status such as 200, 4XX or default, found "20O"; ',
    ],
    [
      'openapi: 3.1.0\npaths: { /a: { put: { requestBody: {} } } }',
      '.put.requestBody.content: is required, found nothing; ',
    ],
    [
      'openapi: 3.1.0\npaths: { /a: { get: { parameters: [{ in: query, name: a, schema: { items: { enum: [] } } }] } } }',
      '$.paths["/a"].get.parameters[0].schema.items.enum: must have at least 1 item, found []; ',
    ],
    [
      'openapi: 3.1.0\npaths: { /a: { get: { parameters: [{ in: query, name: a, schema: text }] } } }',
      '.schema: must be an object, found "text"; ',
    ],
    [
      'openapi: 3.0.0\npaths: { /a: { get: { requestBody: { $ref: "other.yaml#/a" } } } }',
      'api.yaml: $.paths["/a"].get.requestBody["$ref"]: expected a reference within the file, such as "#/components/…", found "other.yaml#/a"; bundle',
    ],
    [
      'openapi: 3.0.0\npaths: { /a: { get: { requestBody: { $ref: "#/none" } } } }',
      'expected a reference to something, found "#/none"; it leads nowhere',
    ],
    [
      'openapi: 3.0.0\npaths: { /a: { get: { requestBody: { $ref: "#/constructor" } } } }',
      'expected a reference to something, found "#/constructor"; it leads nowhere',
    ],
    [
      'openapi: 3.0.0\npaths: { /a: { get: { requestBody: { $ref: "#/b" } } } }\nb: { $ref: "#/b" }',
      'expected a reference to something, found "#/b"; it leads in a circle',
    ],
  ])('%j is refused with what is wrong where', (bad, message) => {
    expect(() => readApiDescription(bad, 'api.yaml')).toThrow(ApiDescriptionError);
    expect(() => readApiDescription(bad, 'api.yaml')).toThrow(message);
  });
});

test('an operation is found for a route whatever its parameters are called', () => {
  expect(operationOf(operations, { method: 'GET', path: '/api/products/:productId' })?.path).toBe('/api/products/{id}');
  expect(operationOf(operations, { method: 'PUT', path: '/api/products/:id' })).toBeUndefined();
  expect(undescribed({ method: 'GET', path: '/a/:b/*' })).toMatchObject({ path: '/a/{b}/*', route: '/a/:b/*' });
});
