import { describe, expect, test } from '@jest/globals';
import { ApiDescriptionError, operationOf, readApiDescription } from './api-description.ts';
import { coverageOf, nameCell, wantedCells } from './wanted-cells.ts';

const text = `openapi: 3.1.0
security: []
paths:
  /api/products:
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1 } }
        - $ref: "#/components/parameters/Sort"
      responses: { "200": {}, "304": {}, "400": {}, "500": {}, default: {} }
    post:
      security: [{ account: [] }]
      requestBody: { $ref: "#/components/requestBodies/Product" }
      responses: { "201": {}, "401": {} }
  /api/products/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { $ref: "#/components/schemas/Id" } }
    get:
      security: [{}, { account: [] }]
      responses: { "200": {}, "404": {} }
components:
  parameters:
    Sort: { name: sort, in: query, schema: { enum: [name, -name] }, example: name }
  schemas:
    Id: { type: integer, minimum: 1 }
    Node: { type: object, properties: { child: { $ref: "#/components/schemas/Node" } } }
  requestBodies:
    Product:
      content:
        application/json:
          schema: { type: object, required: [name], properties: { name: { type: string }, id: { $ref: "#/components/schemas/Id" } } }
`;
const operations = readApiDescription(text, 'api.yaml');

describe('an OpenAPI description', () => {
  test('is read operation by operation, references followed', () => {
    expect(operations.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /api/products',
      'POST /api/products',
      'GET /api/products/:id',
    ]);
    const [list, create, one] = operations;
    expect(list).toMatchObject({ statusClasses: ['2xx', '3xx', '4xx'], signedIn: 'never', body: null });
    expect(list!.parameters).toEqual([
      { in: 'query', name: 'limit', required: false, schema: { type: 'integer', minimum: 1 }, examples: [] },
      { in: 'query', name: 'sort', required: false, schema: { enum: ['name', '-name'] }, examples: ['name'] },
    ]);
    expect(create).toMatchObject({
      signedIn: 'must',
      body: { mediaType: 'application/json', schema: { required: ['name'] } },
    });
    expect(one).toMatchObject({
      signedIn: 'may',
      parameters: [{ in: 'path', name: 'id', required: true, schema: { type: 'integer' } }],
    });
  });

  test('is found for a route whatever its parameters are called', () => {
    expect(operationOf(operations, { method: 'GET', path: '/api/products/:productId' })?.path).toBe(
      '/api/products/:id',
    );
    expect(operationOf(operations, { method: 'PUT', path: '/api/products/:id' })).toBeUndefined();
  });

  test('that goes in circles ends', () => {
    const circular = text.replace(
      'schema: { $ref: "#/components/schemas/Id" } }\n    get',
      'schema: { $ref: "#/components/schemas/Node" } }\n    get',
    );
    expect(readApiDescription(circular, 'api.yaml')).toHaveLength(3);
    const looping = `${text}  x: { $ref: "#/components/x" }\n`.replace(
      '#/components/requestBodies/Product',
      '#/components/x',
    );
    expect(() => readApiDescription(looping, 'api.yaml')).toThrow('api.yaml: references go in a circle');
  });

  test.each<[string, string]>([
    ['{', 'api.yaml: expected YAML or JSON'],
    ['swagger: "2.0"\npaths: {}', 'api.yaml: expected an OpenAPI 3.0 or 3.1 description'],
    ['[]', 'api.yaml: expected an OpenAPI 3.0 or 3.1 description'],
    [
      'openapi: 3.0.0\npaths: { /a: { get: { requestBody: { $ref: "other.yaml#/a" } } } }',
      'expected references within the file',
    ],
    ['openapi: 3.0.0\npaths: { /a: { get: { requestBody: { $ref: "#/none" } } } }', 'api.yaml: "#/none" leads nowhere'],
  ])('%j is refused with its file', (bad, message) => {
    expect(() => readApiDescription(bad, 'api.yaml')).toThrow(ApiDescriptionError);
    expect(() => readApiDescription(bad, 'api.yaml')).toThrow(message);
  });
});

describe('the kinds of answers that are wanted', () => {
  const routes = [
    { method: 'GET', path: '/api/products', access: 'read' },
    { method: 'GET', path: '/api/products/:id', access: 'read' },
    { method: 'POST', path: '/api/products', access: 'write' },
    { method: 'GET', path: '/api/other', access: 'read' },
  ] as const;
  const shadow = { sample: 1, calibrate: 0.05, writes: 'dry-run', routes: {} } as const;

  test('are the classes of status that the description names, for those who may ask', () => {
    expect(wantedCells({ routes: [...routes], shadow }, operations).map(nameCell)).toEqual([
      'GET /api/products 2xx',
      'GET /api/products 3xx',
      'GET /api/products 4xx',
      'GET /api/products/:id 2xx anonymous',
      'GET /api/products/:id 2xx signed in',
      'GET /api/products/:id 4xx',
      'POST /api/products 2xx signed in',
      'POST /api/products 4xx',
      'GET /api/other 2xx',
    ]);
  });

  test('are each route’s success without one, and no writes where none are compared', () => {
    const off = { ...shadow, writes: 'off' } as const;
    expect(wantedCells({ routes: [...routes], shadow: off }, []).map(nameCell)).toEqual([
      'GET /api/products 2xx',
      'GET /api/products/:id 2xx',
      'GET /api/other 2xx',
    ]);
  });

  test('are covered by what was seen of them: roles apart, and only what is clean', () => {
    const cells = (['anonymous', 'admin', 'user'] as const).map((role) => ({
      endpoint: 'GET /api/products/:id',
      statusClass: '2xx' as const,
      role,
      access: 'read' as const,
      outcomes: { same: 3, noise: 1, accepted: 1, different: 2, racing: 4 },
    }));
    const wanted = wantedCells({ routes: [routes[1]], shadow }, operations);
    expect(coverageOf(wanted, cells).map(({ clean, seen }) => [clean, seen])).toEqual([
      [5, 11],
      [10, 22],
      [0, 0],
    ]);
  });
});
