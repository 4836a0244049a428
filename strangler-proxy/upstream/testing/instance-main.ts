import http from 'node:http';

/** One instance as a process of its own, for tests: answers its id, is ready, and ends with the test that started it. */
const id = process.env.INSTANCE_ID ?? 'unnamed';

const server = http.createServer((req, res) => {
  const status = /^\/status\/(\d{3})$/.exec(req.url ?? '')?.[1];
  res.writeHead(status === undefined ? 200 : Number(status), { 'content-type': 'application/json' });
  res.end(JSON.stringify({ id, pid: process.pid }));
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : null });
});

process.on('disconnect', () => process.exit(0));
