/** Started by `main.ts up`: holds monolith and catalogue with equal data, and takes orders on a port of its own. */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { startParityPair } from './pair.ts';

const [, , file = ''] = process.argv;
const pair = await startParityPair('pair', { catalogEnv: { NODE_ENV: 'test', PLANTED_FAULT: 'none' } });

const server = http.createServer((request, response) => {
  const answer = async (): Promise<number> => {
    if (request.method !== 'POST') return 405;
    if (request.url === '/reset') await pair.data.restore();
    else if (request.url === '/stop') void stop();
    else return 404;
    return 204;
  };
  answer().then(
    (status) => response.writeHead(status).end(),
    (error: Error) => response.writeHead(500).end(error.message),
  );
});

let stopping: Promise<void> | undefined;
function stop(): Promise<void> {
  stopping ??= (async () => {
    server.close();
    server.closeIdleConnections();
    await pair.stop();
  })();
  return stopping;
}
// Whoever has forgotten it.
setTimeout(() => void stop(), 4 * 3_600_000).unref();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { admin, customer, otherCustomer } = pair.tokens;
const told = {
  control: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  left: pair.monolith.url,
  right: pair.catalog.url,
  leftDatabase: pair.databases.shop.url,
  rightDatabase: pair.databases.own.url,
  tokens: { admin, customer, otherCustomer },
};
writeFileSync(file, JSON.stringify(told), { mode: 0o600 });
