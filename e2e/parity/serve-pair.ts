/** Started by `main.ts up`: holds shop and service of a slice with equal data, and takes orders on a port of its own. */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { isFuzzedSlice, slicePairs } from './slices/pairs.ts';

const [, , file = '', slice = ''] = process.argv;
if (!isFuzzedSlice(slice)) throw new Error(`expected a slice, found "${slice}"`);
const pair = await slicePairs[slice]('pair');
const { addresses, running } = pair;
if (addresses === null) {
  await pair.stop();
  throw new Error(
    `requests to the ${slice} are changed on their way, which no shell can do: npm run parity -- fuzz --slice ${slice}`,
  );
}

const server = http.createServer((request, response) => {
  const answer = async (): Promise<number> => {
    if (request.method !== 'POST') return 405;
    if (request.url === '/reset') await running.reset();
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
const told = {
  control: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  slice,
  ...addresses,
  known: Object.entries(running.known ?? {}).map(([path, ids]) => `${path}=${ids.join(',')}`),
  tokens: running.tokens,
};
writeFileSync(file, JSON.stringify(told), { mode: 0o600 });
