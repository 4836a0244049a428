import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

/** A side that lists and shows things, as a monolith or a service does. */
export type SmallShop = {
  url: string;
  /** `METHOD path` of what it was asked, with ` as <authorization>` where there was one. */
  asked: string[];
  close(): Promise<void>;
};

export type SmallShopOptions = {
  /** What it says of a thing. */
  show?(id: number): object;
  /** Members that every answer has besides. */
  more?(): object;
};

const token = 'Bearer ada';

/** OpenAPI of it. */
export const smallShopApi = `openapi: 3.0.3
paths:
  /things:
    get:
      parameters:
        - { name: sort, in: query, schema: { enum: [id, -id] } }
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 5 } }
      responses: { "200": {}, "304": {}, "400": {} }
    post:
      security: [{ account: [] }]
      requestBody:
        content: { application/json: { schema: { type: object, required: [name], properties: { name: { type: string } } } } }
      responses: { "201": {}, "400": {} }
  /things/{id}:
    parameters: [ { name: id, in: path, required: true, schema: { type: integer } } ]
    get: { responses: { "200": {}, "404": {} } }
    delete: { security: [{ account: [] }], responses: { "204": {}, "404": {} } }
  /things/{id}/notes/{noteId}:
    get: { responses: { "200": {} } }
  /me:
    get: { security: [{ account: [] }], responses: { "200": {}, "401": {} } }
  /search:
    get:
      parameters: [ { name: code, in: query, required: true, schema: { type: string, pattern: "^Q{9}$" } } ]
      responses: { "200": {} }
`;

export const smallShopRoutes = [
  'GET /things',
  'GET /things/:id',
  'POST /things',
  'DELETE /things/:id',
  'GET /things/:id/notes/:noteId',
  'GET /me',
  'GET /search',
];

export const startSmallShop = async ({
  show = (id) => ({ id, name: `thing ${id}` }),
  more = () => ({}),
}: SmallShopOptions = {}): Promise<SmallShop> => {
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    asked.push(`${method} ${url}${headers.authorization === undefined ? '' : ` as ${headers.authorization}`}`);
    const { pathname, searchParams } = new URL(url, 'http://shop');
    const answer = (status: number, value?: object): void => {
      response.statusCode = status;
      if (value === undefined) return void response.end();
      const body = Buffer.from(JSON.stringify({ ...value, ...more() }));
      response.setHeader('content-type', 'application/json');
      response.setHeader('etag', '"1"');
      response.setHeader('content-encoding', 'gzip');
      response.end(gzipSync(body));
    };
    const id = Number(/^\/things\/(\d+)$/.exec(pathname)?.[1]);
    if (headers['if-none-match'] === '"1"' && pathname === '/things') return answer(304);
    if (method === 'POST') return answer(headers['content-type'] === 'application/json' ? 201 : 400, { id: 99 });
    if (pathname === '/things') {
      const strange = [...searchParams].some(
        ([name, value]) => !['sort', 'limit'].includes(name) || value === 'no-number',
      );
      return strange ? answer(400, { title: 'no' }) : answer(200, { items: [{ id: 1 }, { id: 2 }, { id: 3 }] });
    }
    if (pathname === '/me')
      return headers.authorization === token ? answer(200, { me: 'ada' }) : answer(401, { title: 'who?' });
    if (id >= 1 && id <= 3) return answer(200, show(id));
    return answer(404, { title: 'none' });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};
