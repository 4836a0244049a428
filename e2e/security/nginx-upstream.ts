import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { freePort } from '@strangler/platform/testing/sockets.ts';
import { stackHome } from '@strangler/stack/home/paths.ts';
import { findNginx } from '@strangler/stack/source/nginx.ts';
import type { RecordingUpstream, Seen } from '@strangler/strangler-proxy/security/testing/recording-upstream.ts';

/** What the cases look at. nginx hands headers on as variables, so that a name with `_` is the same as one with `-`. */
const noted = [
  'host',
  'x-request-id',
  'authorization',
  'cookie',
  'expect',
  'upgrade',
  'http2-settings',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-service-token',
  'x-strangler-epoch',
  'x-strangler-dry-run',
  'x-http-method-override',
];

const configuration = (folder: string, port: number, back: number): string => `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log info;
events { worker_connections 512; }
http {
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  underscores_in_headers on;
  merge_slashes off;
  large_client_header_buffers 8 64k;
  client_body_buffer_size 128k;
  client_body_in_single_buffer on;
  log_format seen escape=json '{"status":"$status","method":"$request_method","target":"$request_uri","body":"$request_body",'
    '"headers":{${noted.map((name) => `"${name}":"$http_${name.replaceAll('-', '_')}"`).join(',')}}}';
  server {
    listen 127.0.0.1:${port};
    access_log ${folder}/seen.log seen;
    location / { proxy_pass http://127.0.0.1:${back}$request_uri; proxy_method POST; proxy_set_header Host back; }
  }
  server {
    listen 127.0.0.1:${back};
    access_log off;
    client_max_body_size 0;
    location / { return 200 "seen"; }
  }
}
`;

type Line = { status: string; method: string; target: string; body: string; headers: Record<string, string> };

/** Of a line of the log what nginx took for a request; what it answered 400 itself it did not take for one. */
const seenOf = (line: string): Seen[] => {
  const { status, method, target, body, headers } = JSON.parse(line) as Line;
  if (Number(status) >= 400) return [];
  return [
    { method, target, body, headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== '')) },
  ];
};

/** nginx, which writes every request down that it has read whole. Its body is known because it is sent on, to nginx itself. */
export const startNginxUpstream = async (): Promise<RecordingUpstream> => {
  const installation = await findNginx(stackHome(), (line) => process.stderr.write(`${line}\n`));
  const folder = await mkdtemp(join(tmpdir(), 'nginx-'));
  const [port, back] = [await freePort(), await freePort()];
  await mkdir(join(folder, 'logs'));
  await writeFile(join(folder, 'nginx.conf'), configuration(folder, port, back));
  const { file, args, env } = installation.command(installation.program, [
    ...['-e', `${folder}/error.log`, '-p', folder, '-c', `${folder}/nginx.conf`],
  ]);
  const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk) => {
    words += chunk;
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${port}`;
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}: ${words}`);
      return (await fetch(`${origin}/up`)).ok;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    origin,
    async seen() {
      const text = await readFile(join(folder, 'seen.log'), 'latin1');
      // The last one may be half written.
      const lines = text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .slice(0, -1);
      return lines.flatMap(seenOf).filter(({ target }) => target !== '/up');
    },
    close: stop,
  };
};
