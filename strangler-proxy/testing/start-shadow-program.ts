import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dryRunProbePath } from '@strangler/platform/contracts/dry-run.ts';
import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { shadowHeader } from '@strangler/platform/contracts/headers.ts';
import { type ProxyProgram, startProxyProgram } from './proxy-program.ts';

/** A real server that the test can make answer whatever it likes. */
export type LittleServer = {
  url: string;
  server: Server;
  /** Every request it was asked, but for probes, oldest first. */
  seen: { method: string; url: string; headers: IncomingMessage['headers']; shadow: boolean; body: string }[];
  answerWith(listener: RequestListener): void;
  /** Takes no more connections and cuts those there are. */
  die(): Promise<void>;
};

export const json = (res: ServerResponse, value: unknown, status = 200): void => {
  res.statusCode = status;
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(value));
};

export const startLittleServer = async ({ makesDryRuns = false } = {}): Promise<LittleServer> => {
  let answer: RequestListener = (_req, res) => json(res, { id: 7, name: 'Walnut desk' });
  const seen: LittleServer['seen'] = [];
  const server = createServer((req, res) => {
    if (req.url === dryRunProbePath) {
      if (makesDryRuns) json(res, { dryRun: true });
      else json(res, { title: 'Not found' }, 404);
      return;
    }
    const entry = {
      ...{ method: req.method ?? '', url: req.url ?? '', headers: req.headers, body: '' },
      shadow: req.headers[shadowHeader] !== undefined,
    };
    seen.push(entry);
    req.setEncoding('latin1').on('data', (text: string) => {
      if (entry.body.length < 100_000) entry.body += text;
    });
    answer(req, res);
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    seen,
    answerWith: (listener) => {
      answer = listener;
    },
    die: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

export type ShadowProgram = ProxyProgram & {
  monolith: LittleServer;
  service: LittleServer;
  /** Puts the slice at a stage, with so many percent of its reads at the service. */
  flag(edit: Partial<FlagDocument>): Promise<void>;
  /** A figure of the metrics, summed over all series that have these labels; 0 where there is none. */
  figure(name: string, labels?: Record<string, string>): Promise<number>;
  end(): Promise<void>;
};

export type ShadowWishes = {
  /** The slice file's `shadow`, as YAML. */
  shadow?: string;
  /** More lines of the slice file. */
  more?: string;
  makesDryRuns?: boolean;
  env?: Record<string, string>;
};

/** The complete proxy program, with one slice `catalog` at stage `shadow`, between two little servers. */
export const startShadowProgram = async (wishes: ShadowWishes = {}): Promise<ShadowProgram> => {
  const folder = await mkdtemp(join(tmpdir(), 'shadow-'));
  const [monolith, service] = [
    await startLittleServer(),
    await startLittleServer({ makesDryRuns: wishes.makesDryRuns ?? false }),
  ];
  await mkdir(join(folder, 'slices/catalog'), { recursive: true });
  await writeFile(
    join(folder, 'slices/catalog/slice.yaml'),
    `slice: catalog
service: catalog
routes: [ GET /api/products, GET /api/products/:id, POST /api/products, PATCH /api/products/:id ]
stickyBy: [ header.x-user ]
shadow: ${wishes.shadow ?? '{ sample: 1, calibrate: 0 }'}
${wishes.more ?? ''}
`,
  );
  const flags = join(folder, 'flags.json');
  const change = { id: 'c0', by: 'test', at: '2026-01-01T00:00:00.000Z', reason: '' };
  let document: FlagDocument = { ...initialFlagDocument('catalog', change), stage: 'shadow' };
  const write = () => writeFile(flags, JSON.stringify({ catalog: document }));
  await write();
  const program = await startProxyProgram({
    MONOLITH_URL: monolith.url,
    SERVICES: `catalog=${service.url}`,
    STRANGLER_SLICES: join(folder, 'slices'),
    STRANGLER_FLAGS: `file://${flags}`,
    ACCESS_LOG: 'none',
    // However busy the machine is, what the test sends is compared.
    SHADOW_BUSY: '100',
    DRAIN_GRACE: '1000',
    ...wishes.env,
  });
  return {
    ...program,
    monolith,
    service,
    async flag(edit) {
      const id = crypto.randomUUID();
      document = { ...document, ...edit, change: { ...change, id, at: new Date().toISOString() } };
      await write();
      for (;;) {
        const { workers } = await program.status();
        if (workers.every(({ flags }) => flags.some((one) => one.changeId === id))) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async figure(name, labels = {}) {
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      let sum = 0;
      for (const line of (await program.metrics()).split('\n')) {
        if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
        if (wanted.every((text) => line.includes(text))) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
      }
      return sum;
    },
    async end() {
      await program.stop('SIGKILL');
      await Promise.all([monolith.die(), service.die()]);
      await rm(folder, { recursive: true });
    },
  };
};
