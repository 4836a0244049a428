import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { eventually, rawHttp } from './testing/servers.ts';

const at = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** A program as ours are: an HTTP server whose answers take until it is told, and a lifecycle. */
const program = `
  import { createLog } from ${at('./log.ts')};
  import { createLifecycle } from ${at('./lifecycle.ts')};
  import { startHttpServer } from ${at('./http/server.ts')};
  const log = createLog({ name: 'program', level: 'info' });
  const lifecycle = createLifecycle({ log, graceMs: 20_000 });
  lifecycle.installSignals();
  const held = [];
  const http = await startHttpServer({ host: '127.0.0.1', port: 0, log, handler: (req, res) => {
    if (req.url === '/throw') setImmediate(() => { throw new Error('thrown') });
    held.push(res);
    log.info({ held: held.length }, 'held');
  } });
  lifecycle.onStop('drain', 'http', () => {
    setImmediate(() => { for (const res of held) res.end('whole') });
    return http.drain(20_000);
  });
  log.info({ port: http.port }, 'listening');`;

async function start() {
  const child = spawn('node', ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  const port = await eventually(() => Number(/"port":(\d+)/.exec(output)?.[1] ?? 0));
  return { child, port, exit, output: () => output };
}

test('a program that is sent SIGTERM answers what it has taken and exits with 0', async () => {
  const { child, port, exit, output } = await start();
  const answer = rawHttp({ port, bytes: 'GET / HTTP/1.1\r\nhost: a\r\n\r\n', until: 'close', timeoutMs: 20_000 });
  await eventually(() => output().includes('"held":1'));
  child.kill('SIGTERM');
  expect((await answer).text).toContain('whole');
  expect(await exit).toEqual([0, null]);
  expect(output()).toContain('"msg":"stopped"');
});

test('a program that throws where nobody catches answers what it has taken and exits with 1', async () => {
  const { port, exit, output } = await start();
  const answer = rawHttp({ port, bytes: 'GET /throw HTTP/1.1\r\nhost: a\r\n\r\n', until: 'close', timeoutMs: 20_000 });
  expect((await answer).text).toContain('whole');
  expect(await exit).toEqual([1, null]);
  expect(output()).toContain('"level":"fatal"');
});
