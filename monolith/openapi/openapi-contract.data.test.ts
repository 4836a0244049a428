import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { describedOperations, expressOperations } from '../testing/openapi-contract.ts';
import { startTestShop, type TestShop } from '../testing/shop.ts';
import { openApiDocument } from './document.ts';

let shop: TestShop;

beforeAll(async () => {
  shop = await startTestShop('openapi');
});

afterAll(() => shop?.stop());

test('every route is described and every described operation is a route', () => {
  expect(expressOperations(shop.app.app)).toEqual(describedOperations(openApiDocument()));
});

test('the document is served as it is checked against', async () => {
  const { body } = await shop.client.get('/api/openapi.json');
  expect(body).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
});

test('what the process says of itself is as described', async () => {
  expect((await shop.client.get('/health/live')).status).toBe(200);
  expect((await shop.client.get('/health/ready')).status).toBe(200);
  expect((await shop.client.get('/metrics')).text).toContain('http_request_duration_seconds');
});

test('what no route answers is a problem too', async () => {
  const response = await fetch(`${shop.url}/api/nothing`);
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({ type: 'about:blank', title: 'Not Found', status: 404 });
});
