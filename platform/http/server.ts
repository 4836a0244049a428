import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Registry } from 'prom-client';
import type { Log } from '../log.ts';
import { answerClientError } from './client-error.ts';
import { createConnections } from './connections.ts';
import type { Http2Request } from './http2/request.ts';
import type { Http2Response } from './http2/response.ts';
import { createHttp2Sessions, defaultHttp2Limits, type Http2Limits } from './http2/sessions.ts';
import { Problem, problems, sendProblem } from './problem.ts';
import { createServerMetrics } from './server-metrics.ts';

export type HttpLimits = {
  /** Of the request line and all headers together; more is answered 431. Default 16 KiB. */
  maxHeaderBytes: number;
  /** Until the last header has come; longer is answered 408. Default 10 s. */
  headersTimeoutMs: number;
  /** Until the last byte of the body has come; longer is answered 408. Default 120 s. The answer may take longer. */
  requestTimeoutMs: number;
  /** An idle connection is kept this long. Default 65 s: longer than a proxy's agent keeps it, or the proxy would send
   * requests into connections that are being closed here. */
  keepAliveTimeoutMs: number;
  /** Where one more comes an idle one is closed for it, or it is where none is idle. Default 4,096. */
  maxConnections: number;
  /** Further requests are answered 503 with Retry-After. Default 1,024. */
  maxRequestsInFlight: number;
};

export const defaultHttpLimits: HttpLimits = {
  maxHeaderBytes: 16 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 120_000,
  keepAliveTimeoutMs: 65_000,
  maxConnections: 4_096,
  maxRequestsInFlight: 1_024,
};

export type RequestListener = (req: http.IncomingMessage, res: http.ServerResponse) => void;
export type UpgradeListener = (req: http.IncomingMessage, socket: Duplex, head: Buffer) => void;

export type HttpServerOptions = {
  /** An Express app, or any other request listener. */
  handler: RequestListener;
  host: string;
  /** 0 takes a free one. */
  port: number;
  log: Log;
  limits?: Partial<HttpLimits>;
  /** Certificate and private key in PEM: the port then speaks TLS, 1.2 or newer, and nothing else. */
  tls?: { cert: string; key: string };
  /** Beside `tls`: clients that ask for it are served in HTTP/2 as well, within these bounds. */
  http2?: Partial<Http2Limits>;
  /** Takes WebSocket upgrades. Without it a request to upgrade is an ordinary request. */
  onUpgrade?: UpgradeListener;
  /** Told of each upgraded connection when draining begins, so that it can say good-bye in its own protocol. */
  onDrainUpgraded?: (socket: Duplex) => void;
  /** Takes requests with `Expect: 100-continue`. Without it they are told to continue and go to `handler`. */
  onCheckContinue?: RequestListener;
  /** Requests that are answered even above `maxRequestsInFlight`. Default: `/health/…` and `/metrics`, or an
   * overloaded instance would be taken for a dead one. */
  neverShed?: (req: http.IncomingMessage) => boolean;
  /** Where connections, refusals and cuts are counted. */
  metrics?: Registry;
  /** The label `server` of those metrics, for programs with more than one. Default `http`. */
  name?: string;
};

export type DrainOutcome = 'drained' | 'cut';

export type RunningServer = {
  server: http.Server;
  host: string;
  port: number;
  /** `http://host:port`, without a slash at the end. */
  url: string;
  /** New connections get this certificate; those that are open keep theirs. Only for a server with `tls`. */
  replaceCertificate(tls: { cert: string; key: string }): void;
  /** Requests that have come and are not answered yet. */
  inFlight(): number;
  /** Connections that have been upgraded and are still open. */
  upgraded(): number;
  /**
   * Stops accepting, answers what still comes on open connections with `Connection: close`, closes idle ones (after
   * `idleMs`, default at once), waits for requests and upgraded connections, and cuts what is left after `graceMs`.
   */
  drain(graceMs: number, options?: { idleMs?: number }): Promise<DrainOutcome>;
};

/** Resolves when the port is open; rejects when it cannot be had. */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningServer> {
  const { handler, host, log, onUpgrade, onDrainUpgraded, metrics, name = 'http' } = options;
  const neverShed = options.neverShed ?? isProbe;
  const limits = { ...defaultHttpLimits, ...options.limits };
  const count = createServerMetrics(metrics, name);

  const connections = createConnections({
    most: limits.maxConnections,
    onCount: count.connections,
    onEvicted: count.evicted,
    onDropped: count.dropped,
  });
  /** Those whose last answer has been given: what still comes on them is nobody's request. */
  const over = new WeakSet<Socket>();
  const upgradedSockets = new Set<Duplex>();
  /** Answers that are still to be given, by connection: more than one when the client pipelines. */
  const pending = new Map<Socket, Set<http.ServerResponse>>();
  let inFlight = 0;
  let drained: Promise<DrainOutcome> | undefined;

  const serverOptions = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: Math.max(limits.requestTimeoutMs, limits.headersTimeoutMs),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // How often Node looks for connections past these times.
    connectionsCheckingInterval: Math.max(50, Math.min(1_000, Math.floor(limits.headersTimeoutMs / 4))),
    shouldUpgradeCallback: (req: http.IncomingMessage) =>
      onUpgrade !== undefined && req.headers.upgrade?.toLowerCase() === 'websocket',
  };
  const secure =
    options.tls === undefined
      ? null
      : https.createServer({
          ...serverOptions,
          ...options.tls,
          minVersion: 'TLSv1.2',
          ALPNProtocols: options.http2 === undefined ? ['http/1.1'] : ['h2', 'http/1.1'],
          handshakeTimeout: limits.headersTimeoutMs,
        });
  // The two have all in common that is used here, though their types do not say so.
  const server = (secure ?? http.createServer(serverOptions)) as http.Server;
  /** Connections beneath TLS, those in their handshake too. */
  const beneath = new Set<Socket>();
  // Those that are in their handshake are not among the others yet, and are bounded by its time-out.
  if (secure !== null) server.maxConnections = 2 * limits.maxConnections;

  const take = (next: RequestListener, beforeNext?: (res: http.ServerResponse) => void): RequestListener => {
    return (req, res) => {
      // RFC 9112 §9.6: nothing is done after an answer that closes, least of all where it said that framing was in doubt.
      if (over.has(req.socket) || [...(pending.get(req.socket) ?? [])].some(closes)) return;
      follow(req, res);
      if (inFlight > limits.maxRequestsInFlight && !neverShed(req)) {
        if (hasBody(req)) closeAfter(res);
        shed(res);
        return;
      }
      beforeNext?.(res);
      next(req, res);
    };
  };

  const shed = (res: http.ServerResponse): void => {
    count.shed();
    sendProblem(res, problems.unavailable(1, 'This instance is answering as many requests as it can.'));
  };

  const follow = (req: http.IncomingMessage, res: http.ServerResponse): void => {
    const { socket } = req;
    count.request('http/1');
    const onSocket = pending.get(socket) ?? new Set();
    pending.set(socket, onSocket.add(res));
    connections.busy(socket);
    inFlight += 1;
    // Node drops what came in the same packet behind a request to upgrade, so where the next one begins is not known.
    if (drained !== undefined || req.headers.upgrade !== undefined) closeAfter(res);
    res.once('finish', () => {
      if (closes(res)) over.add(socket);
    });
    res.once('close', () => {
      inFlight -= 1;
      onSocket.delete(res);
      if (onSocket.size > 0) return;
      pending.delete(socket);
      connections.idle(socket);
      // An answer whose headers had gone out before draining began did not announce the end.
      if (drained !== undefined) setImmediate(() => !pending.has(socket) && socket.destroySoon());
    });
  };

  const serveHttp2 = (req: Http2Request, answer: Http2Response, connection: TLSSocket): void => {
    const res = answer as unknown as http.ServerResponse;
    count.request('h2');
    connections.busy(connection);
    inFlight += 1;
    res.once('close', () => {
      inFlight -= 1;
    });
    const { expect } = req.headers;
    if (inFlight > limits.maxRequestsInFlight && !neverShed(req)) {
      res.shouldKeepAlive = false;
      shed(res);
    } else if (req.method === 'CONNECT') {
      sendProblem(res, new Problem({ status: 501, detail: 'This server opens no tunnels.' }));
    } else if (expect === undefined) handler(req, res);
    else if (expect.toLowerCase() !== '100-continue') {
      res.shouldKeepAlive = false;
      sendProblem(res, new Problem({ status: 417, detail: 'Expected no expectation but 100-continue.' }));
    } else if (options.onCheckContinue !== undefined) options.onCheckContinue(req, res);
    else {
      res.writeContinue();
      handler(req, res);
    }
  };
  const http2 =
    secure === null || options.http2 === undefined
      ? null
      : createHttp2Sessions({
          limits: { ...defaultHttp2Limits, ...options.http2 },
          maxHeaderBytes: limits.maxHeaderBytes,
          headersTimeoutMs: limits.headersTimeoutMs,
          requestTimeoutMs: serverOptions.requestTimeout,
          keepAliveTimeoutMs: limits.keepAliveTimeoutMs,
          onRequest: serveHttp2,
          onIdle: connections.idle,
          onSessions: count.http2Sessions,
          onEnd: count.http2Ended,
          onStalled: count.http2Stalled,
        });
  if (secure !== null && http2 !== null) {
    // Node's own listener takes every connection for HTTP/1.1.
    const [serveHttp1] = secure.listeners('secureConnection') as ((socket: TLSSocket) => void)[];
    secure.off('secureConnection', serveHttp1!);
    secure.on('secureConnection', (socket: TLSSocket) => {
      if (socket.alpnProtocol === 'h2') http2.take(socket);
      else serveHttp1!.call(secure, socket);
    });
  }

  server.on('request', take(handler));
  server.on(
    'checkContinue',
    options.onCheckContinue ? take(options.onCheckContinue) : take(handler, (res) => res.writeContinue()),
  );
  secure?.on('connection', (socket: Socket) => {
    beneath.add(socket);
    socket.once('close', () => beneath.delete(socket));
  });
  secure?.on('drop', () => count.dropped());
  server.on(secure === null ? 'connection' : 'secureConnection', (socket: Socket) => void connections.opened(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // No answer can be read by whom no handshake was had with.
    if (secure !== null && !connections.all.has(socket as Socket)) {
      socket.destroy();
      return;
    }
    const status = answerClientError(error, socket, [...(pending.get(socket as Socket) ?? [])]);
    if (status !== undefined) count.clientError(status);
  });
  /**
   * Whether somebody is still owed an answer on a connection that Node has handed over, or has had the last one; it is cut then.
   * From the handing over on Node tells nobody that waits for a turn that there will be none.
   */
  const isOutOfTurn = (socket: Socket): boolean => {
    const owed = [...(pending.get(socket) ?? [])];
    if (owed.length === 0 && !over.has(socket)) return false;
    socket.once('close', () => {
      for (const res of owed) if (res.socket === null && !res.writableFinished) res.destroy().emit('close');
    });
    socket.destroy();
    return true;
  };
  server.on('connect', (_req: http.IncomingMessage, socket: Duplex) => {
    socket.on('error', () => socket.destroy());
    if (isOutOfTurn(socket as Socket)) return;
    // Everything here stands before known servers and opens no tunnels to others.
    socket.end('HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  if (onUpgrade) {
    server.on('upgrade', (req: http.IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', (error) => log.debug({ err: error }, 'an upgraded connection failed'));
      if (drained !== undefined) {
        socket.end(
          'HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n',
        );
        return;
      }
      if (isOutOfTurn(socket as Socket)) return;
      upgradedSockets.add(socket);
      connections.busy(socket as Socket);
      socket.once('close', () => upgradedSockets.delete(socket));
      onUpgrade(req, socket, head);
    });
  }

  const drain = async (graceMs: number, idleMs: number): Promise<DrainOutcome> => {
    // Node would close the idle connections as soon as it stops accepting.
    if (idleMs > 0) server.closeIdleConnections = () => {};
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const answers of pending.values()) for (const res of answers) closeAfter(res);
    for (const socket of upgradedSockets) onDrainUpgraded?.(socket);
    const closeIdle = () => {
      for (const socket of connections.all)
        if (!pending.has(socket) && !upgradedSockets.has(socket) && http2?.has(socket as TLSSocket) !== true)
          socket.destroySoon();
    };
    http2?.drain(idleMs);
    const idleTimer = setTimeout(closeIdle, idleMs);
    let outcome: DrainOutcome = 'drained';
    const graceTimer = setTimeout(() => {
      outcome = 'cut';
      log.warn({ inFlight, upgraded: upgradedSockets.size, graceMs }, 'requests were cut at the end of the grace time');
      count.cut(inFlight + upgradedSockets.size);
      for (const socket of [...connections.all, ...beneath]) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(idleTimer);
    clearTimeout(graceTimer);
    http2?.stop();
    return outcome;
  };

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: options.port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => log.error({ err: error }, 'the server failed'));
  const { port } = server.address() as AddressInfo;
  return {
    server,
    host,
    port,
    url: `${secure === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    inFlight: () => inFlight,
    replaceCertificate: (tls) => secure?.setSecureContext({ ...tls, minVersion: 'TLSv1.2' }),
    upgraded: () => upgradedSockets.size,
    drain: (graceMs, { idleMs = 0 } = {}) => {
      drained ??= drain(graceMs, idleMs);
      return drained;
    },
  };
}

function closeAfter(res: http.ServerResponse): void {
  if (res.headersSent) return;
  res.shouldKeepAlive = false;
  res.setHeader('connection', 'close');
}

function closes(res: http.ServerResponse): boolean {
  return !res.shouldKeepAlive || /\bclose\b/i.test(`${res.getHeader('connection') ?? ''}`);
}

function hasBody(req: http.IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

function isProbe(req: http.IncomingMessage): boolean {
  return req.url?.startsWith('/health/') === true || req.url === '/metrics';
}
