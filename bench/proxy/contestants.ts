import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';

/** A proxy under measure: a command that listens on `port` and forwards to `upstreamUrl`. */
export type Contestant = {
  name: string;
  command: string;
  arguments: string[];
  environment: Record<string, string>;
};

export type Field = { folder: string; upstreamUrl: string; portOf: (name: string) => number };

const here = import.meta.dirname;

/** Everyone who can take part on this machine; HAProxy and nginx only where they are installed. */
export const contestants = async ({ folder, upstreamUrl, portOf }: Field): Promise<Contestant[]> => {
  const field = { folder, upstreamUrl, portOf };
  return [
    await ours(field),
    peer('handwritten', field),
    peer('fastify', field),
    peer('undici', field),
    ...(await haproxy(folder, upstreamUrl, portOf('haproxy'))),
    ...(await nginx(folder, upstreamUrl, portOf('nginx'))),
  ];
};

/** A proxy that others wrote, by the name of its file. */
export const peer = (name: string, { upstreamUrl, portOf }: Field): Contestant => ({
  name,
  command: process.execPath,
  arguments: [join(here, 'contestants', `${name}.ts`)],
  environment: { PORT: String(portOf(name)), UPSTREAM: upstreamUrl, NODE_ENV: 'production' },
});

/** Ours with no slices and no policies: it stands in front, and counts. */
export const plain = ({ upstreamUrl, portOf }: Field, name = 'plain'): Contestant => ({
  name,
  command: process.execPath,
  arguments: [join(here, '../../strangler-proxy/main.ts')],
  environment: {
    PORT: String(portOf(name)),
    ADMIN_PORT: String(portOf(`${name}-admin`)),
    MONOLITH_URL: upstreamUrl,
    WORKERS: '1',
    NODE_ENV: 'production',
    LOG_LEVEL: 'warn',
  },
});

/** Ours with all of it on but policies: a slice at 50 %, sticky users, discovery, ejection, breaker, metrics. */
export const ours = async ({ folder, upstreamUrl, portOf }: Field, name = 'ours'): Promise<Contestant> => {
  const slices = join(folder, 'slices');
  await mkdir(join(slices, 'catalog'), { recursive: true });
  await writeFile(
    join(slices, 'catalog', 'slice.yaml'),
    'slice: catalog\nservice: catalog\nroutes: [ GET /api/products, GET /api/products/:id ]\nstickyBy: [ jwt.sub ]\n',
  );
  const change = { id: 'bench', by: 'bench', at: new Date().toISOString(), reason: '' };
  const flag = { ...initialFlagDocument('catalog', change), reads: { percent: 50, cohorts: [] } };
  await writeFile(join(folder, 'flags.json'), JSON.stringify({ catalog: flag }));
  const contestant = plain({ folder, upstreamUrl, portOf }, name);
  const more = {
    SERVICES: `catalog=${upstreamUrl}`,
    STRANGLER_SLICES: slices,
    STRANGLER_FLAGS: `file://${join(folder, 'flags.json')}`,
  };
  return { ...contestant, environment: { ...contestant.environment, ...more } };
};

const haproxy = async (folder: string, upstreamUrl: string, port: number): Promise<Contestant[]> => {
  if (!isInstalled('haproxy')) return [];
  const file = join(folder, 'haproxy.cfg');
  await writeFile(
    file,
    `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server upstream ${new URL(upstreamUrl).host}
`,
  );
  return [{ name: 'haproxy', command: 'haproxy', arguments: ['-db', '-f', file], environment: {} }];
};

const nginx = async (folder: string, upstreamUrl: string, port: number): Promise<Contestant[]> => {
  if (!isInstalled('nginx')) return [];
  const file = join(folder, 'nginx.conf');
  await writeFile(
    file,
    `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx-error.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  keepalive_requests 10000000;
  upstream back { server ${new URL(upstreamUrl).host}; keepalive 64; keepalive_requests 10000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}
`,
  );
  return [{ name: 'nginx', command: 'nginx', arguments: ['-c', file, '-p', folder], environment: {} }];
};

export const isInstalled = (program: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;
