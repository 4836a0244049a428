import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startHttpServer } from '@strangler/platform/http/server.ts';
import { createLog } from '@strangler/platform/log.ts';
import express from 'express';

/** A request as an upstream has understood it. */
export type Seen = {
  method: string;
  target: string;
  /** By name in lower case with `-` for `_`, as CGI, WSGI and their like know them; repeated ones joined by commas. */
  headers: Record<string, string>;
  body: string;
};

/** A server that writes down whole requests in the order in which it has read them. */
export type RecordingUpstream = { origin: string; seen(): Promise<Seen[]>; close(): Promise<void> };

/** Calls `tell` once a request has come to its end; one that breaks off is nobody's. */
const record = (req: IncomingMessage, res: ServerResponse, tell: (seen: Seen) => void): void => {
  const chunks: Buffer[] = [];
  req.on('error', () => {});
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const headers: Record<string, string> = {};
    for (let at = 0; at < req.rawHeaders.length; at += 2) {
      const name = req.rawHeaders[at]!.toLowerCase().replaceAll('_', '-');
      const value = req.rawHeaders[at + 1]!;
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
    }
    const body = Buffer.concat(chunks).toString('latin1');
    tell({ method: req.method ?? '', target: req.url ?? '', headers, body });
    res.end('seen');
  });
};

/** Express on the server on which the monolith and every service stand. */
export const startExpressUpstream = async (): Promise<RecordingUpstream> => {
  const all: Seen[] = [];
  const app = express();
  app.use((req, res) => record(req, res, (seen) => all.push(seen)));
  const log = createLog({ name: 'recording-upstream', level: 'silent' });
  const running = await startHttpServer({ handler: app, host: '127.0.0.1', port: 0, log });
  return { origin: running.url, seen: async () => all, close: async () => void (await running.drain(0)) };
};

/** A plain Node server whose parser forgives what it can, as an old server behind a proxy would. */
export const startLenientUpstream = async (): Promise<RecordingUpstream> => {
  const all: Seen[] = [];
  const server = createServer({ insecureHTTPParser: true, maxHeaderSize: 64 * 1_024 }, (req, res) =>
    record(req, res, (seen) => all.push(seen)),
  );
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: async () => all,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
