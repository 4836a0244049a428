import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadApiDescription } from './load-description.ts';
import { ApiDescriptionError } from './place.ts';

const text = 'openapi: 3.1.0\npaths: { /a: { get: {} } }\n';
const small = { timeoutMs: 300, maxBytes: 100 };

describe('a description', () => {
  let folder: string;
  let server: http.Server;
  let url: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'openapi-'));
    server = http.createServer(({ url: path }, response) => {
      if (path === '/none') response.statusCode = 404;
      response.write(path === '/long' ? text + '#'.repeat(200) : text);
      if (path !== '/endless') response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  });

  test('is loaded from a file and from an address', async () => {
    const file = join(folder, 'api.yaml');
    await writeFile(file, text);
    for (const from of [file, `${url}/api`]) {
      expect(await loadApiDescription(from, small)).toMatchObject([{ method: 'GET', path: '/a' }]);
    }
  });

  test('that is not there, too long or without an end is refused with where it should be', async () => {
    const long = join(folder, 'long.yaml');
    await writeFile(long, text + '#'.repeat(200));
    const refused: [string, string][] = [
      [join(folder, 'none.yaml'), 'ENOENT; name another file'],
      [folder, 'EISDIR; name another file'],
      [long, 'more than 100 bytes; name another file'],
      [`${url}/none`, 'an answer 404; name another address'],
      [`${url}/long`, 'more than 100 bytes; name another address'],
      [`${url}/endless`, 'no whole answer in time; name another address'],
      ['http://127.0.0.1:1/', 'found '],
    ];
    for (const [from, why] of refused) {
      const loading = loadApiDescription(from, small);
      await expect(loading).rejects.toThrow(ApiDescriptionError);
      await expect(loading).rejects.toThrow(`${from}: expected an OpenAPI description, found `);
      await expect(loading).rejects.toThrow(why);
    }
  });
});
