import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { comparedAnswer, headerOf, type Side, type SideOptions, SideUnreachable, sideAt } from './side.ts';

let server: http.Server;
let url: string;
let connections: number;
const sides: Side[] = [];

beforeEach(async () => {
  connections = 0;
  server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { url: path = '', method, headers } = request;
    if (path.endsWith('/never')) return;
    response.setHeader('content-type', 'application/json');
    response.setHeader('X-Path', path);
    if (path.endsWith('/endless')) return void response.write('[');
    if (path.endsWith('/cut')) return void response.write('[', () => response.destroy());
    if (path.endsWith('/large')) return void response.end(JSON.stringify('x'.repeat(5_000)));
    response.statusCode = 201;
    response.end(JSON.stringify({ method, headers, body: Buffer.concat(chunks).toString() }));
  });
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const side of sides.splice(0)) side.close();
  server.closeAllConnections();
  server.close();
});

const opened = (options: SideOptions = {}, base = url): Side => {
  const side = sideAt('left', base, options);
  sides.push(side);
  return side;
};
const get = (path: string) => ({ method: 'GET', path, headers: {}, body: null });

describe('a side', () => {
  test('is sent the request as it is, below the path of its address, and its answer is read whole', async () => {
    const side = opened({}, `${url}/shop/`);
    const answer = await side.send({ method: 'PUT', path: '/a?b=%zz', headers: { 'x-one': '1' }, body: '{"ä":1}' });
    expect(answer).toMatchObject({ status: 201, isWhole: true, latencyMs: expect.any(Number) });
    expect(headerOf(answer, 'x-path')).toBe('/shop/a?b=%zz');
    expect(answer.json).toMatchObject({
      method: 'PUT',
      body: '{"ä":1}',
      headers: { 'x-one': '1', 'content-length': '8' },
    });
    expect(comparedAnswer(answer, null)).toMatchObject({
      status: 201,
      body: { kind: 'json', value: answer.json },
      effects: null,
    });
  });

  test('is sent no body where there is none, and the credentials of its address', async () => {
    const side = opened({}, url.replace('//', '//ada:secret@'));
    const { json } = await side.send(get('/'));
    const { headers } = json as { headers: Record<string, string> };
    expect(headers['content-length']).toBeUndefined();
    expect(headers.authorization).toBe(`Basic ${Buffer.from('ada:secret').toString('base64')}`);
  });

  test('keeps its connection, unless it connects each time', async () => {
    for (const [connectEachTime, wanted] of [
      [false, 1],
      [true, 3],
    ] as const) {
      connections = 0;
      const side = opened({ connectEachTime });
      for (let time = 0; time < 3; time += 1) await side.send(get('/'));
      expect(connections).toBe(wanted);
    }
  });

  test('with a body beyond the bound is compared by its head', async () => {
    const answer = await opened({ maxBodyBytes: 1_000 }).send(get('/large'));
    expect(answer).toMatchObject({ status: 200, isWhole: false, json: undefined, bytes: Buffer.alloc(0) });
    expect(comparedAnswer(answer, null).body).toEqual({ kind: 'skipped', why: 'too-large' });
    expect(await opened().send(get('/large'))).toMatchObject({ isWhole: true, json: 'x'.repeat(5_000) });
  });

  test.each(['/never', '/endless'])('that comes to no end at %s has not answered', async (path) => {
    const sent = opened({ timeoutMs: 100 }).send(get(path));
    await expect(sent).rejects.toThrow(SideUnreachable);
    await expect(sent).rejects.toThrow(`left (${url}): GET ${path}: expected a whole answer within 100 ms, found none`);
  });

  test('that cannot be reached, or breaks off, is named with why', async () => {
    const side = opened();
    await expect(side.send(get('/cut'))).rejects.toThrow(SideUnreachable);
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    const sent = side.send(get('/a'));
    await expect(sent).rejects.toThrow(SideUnreachable);
    await expect(sent).rejects.toThrow(new RegExp(`^left \\(${url}\\): GET /a: .*ECONNREFUSED`));
  });

  test('is given up when it is told to', async () => {
    const stop = new AbortController();
    const sent = opened({ signal: stop.signal }).send(get('/never'));
    stop.abort(new Error('stopped'));
    await expect(sent).rejects.toThrow(`left (${url}): GET /never: stopped`);
    await expect(opened({ signal: stop.signal }).send(get('/'))).rejects.toThrow('stopped');
  });
});
