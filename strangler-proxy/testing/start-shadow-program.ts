import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dryRunProbePath } from '@strangler/platform/contracts/dry-run.ts';
import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { shadowHeader } from '@strangler/platform/contracts/headers.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
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

/** A slice of the program, with a path, a monolith and a service that are its own. */
export type ShadowSlice = {
  /** Of all of its routes; `/:id` follows for one thing. */
  path: string;
  url: string;
  /** What the monolith is asked for under `path`. */
  monolith: LittleServer;
  service: LittleServer;
  /** Puts the slice at a stage, with so many percent of its reads at the service. */
  flag(edit: Partial<FlagDocument>): Promise<void>;
  /** As that of the program, of this slice alone. */
  figure(name: string, labels?: Record<string, string>): Promise<number>;
};

export type ShadowProgram = ProxyProgram & {
  slice(name: string): ShadowSlice;
  /** A figure of the metrics, summed over all series that have these labels; 0 where there is none. */
  figure(name: string, labels?: Record<string, string>): Promise<number>;
  end(): Promise<void>;
};

export type SliceWishes = {
  /** The slice file's `shadow`, as YAML. */
  shadow?: string;
  /** More lines of the slice file. */
  more?: string;
  makesDryRuns?: boolean;
};

const sliceFile = (slice: string, { shadow = '{ sample: 1, calibrate: 0 }', more = '' }: SliceWishes): string => {
  const path = pathOf(slice);
  return `slice: ${slice}
service: ${slice}
routes: [ GET ${path}, GET ${path}/:id, POST ${path}, PATCH ${path}/:id ]
stickyBy: [ header.x-user ]
shadow: ${shadow}
${more}
`;
};
const pathOf = (slice: string): string => `/api/${slice}`;

/**
 * The complete proxy program, with these slices at stage `shadow`, each between two little servers: as many tests as there
 * are slices can share it.
 */
export const startShadowProgram = async (
  slices: Record<string, SliceWishes>,
  env: Record<string, string> = {},
): Promise<ShadowProgram> => {
  const folder = await mkdtemp(join(tmpdir(), 'shadow-'));
  const change = { id: 'c0', by: 'test', at: '2026-01-01T00:00:00.000Z', reason: '' };
  const sides = new Map<string, Pick<ShadowSlice, 'monolith' | 'service'>>();
  const documents: Record<string, FlagDocument> = {};
  for (const [name, wishes] of Object.entries(slices)) {
    await mkdir(join(folder, 'slices', name), { recursive: true });
    await writeFile(join(folder, 'slices', name, 'slice.yaml'), sliceFile(name, wishes));
    documents[name] = { ...initialFlagDocument(name, change), stage: 'shadow' };
    const service = await startLittleServer({ makesDryRuns: wishes.makesDryRuns ?? false });
    sides.set(name, { monolith: await startLittleServer(), service });
  }
  // One door for all of their monoliths, for a program has but one; what is nobody's goes to the first.
  const [first] = sides.values();
  const door = createServer((req, res) => {
    const { monolith } = sides.get(req.url?.split(/[/?]/)[2] ?? '') ?? first!;
    monolith.server.emit('request', req, res);
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => door.once('listening', listening));

  const flags = join(folder, 'flags.json');
  const write = () => writeFile(flags, JSON.stringify(documents));
  await write();
  const program = await startProxyProgram({
    MONOLITH_URL: `http://127.0.0.1:${(door.address() as AddressInfo).port}`,
    SERVICES: [...sides].map(([name, { service }]) => `${name}=${service.url}`).join(';'),
    STRANGLER_SLICES: join(folder, 'slices'),
    STRANGLER_FLAGS: `file://${flags}`,
    ACCESS_LOG: 'none',
    // However busy the machine is, what the test sends is compared.
    SHADOW_BUSY: '100',
    DRAIN_GRACE: '1000',
    ...env,
  });
  const figure: ShadowProgram['figure'] = async (name, labels = {}) => {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    let sum = 0;
    for (const line of (await program.metrics()).split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      if (wanted.every((text) => line.includes(text))) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  };
  return {
    ...program,
    figure,
    slice(name) {
      const path = pathOf(name);
      return {
        ...{ path, url: `${program.url}${path}`, ...sides.get(name)! },
        figure: (figureName, labels = {}) => figure(figureName, { slice: name, ...labels }),
        async flag(edit) {
          const id = crypto.randomUUID();
          documents[name] = { ...documents[name]!, ...edit, change: { ...change, id, at: new Date().toISOString() } };
          await write();
          await eventually(async () => {
            const { workers } = await program.status();
            return workers.every(({ flags }) => flags.some((one) => one.changeId === id));
          });
        },
      };
    },
    async end() {
      await program.stop('SIGKILL');
      door.close();
      door.closeAllConnections();
      await Promise.all([...sides.values()].flatMap(({ monolith, service }) => [monolith.die(), service.die()]));
      await rm(folder, { recursive: true });
    },
  };
};
