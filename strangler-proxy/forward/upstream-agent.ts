import http, { type AgentOptions, type ClientRequest } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export type AgentLimits = {
  /** Connections an origin; further requests wait for one, as long as a connection may take to be made. Default 512. */
  maxSockets: number;
  /** An unused connection is closed after this; must be below the upstream's keep-alive time (5 s in Node). Default 4 s. */
  idleTimeoutMs: number;
  /** Headers of an answer beyond this many bytes are a bad answer. Default 64 KiB. */
  maxAnswerHeaderBytes: number;
};

export const defaultAgentLimits: AgentLimits = {
  maxSockets: 512,
  idleTimeoutMs: 4_000,
  maxAnswerHeaderBytes: 64 * 1024,
};

/** Called with each request in the moment it is made, before it has a connection. */
export type OnRequest = (request: ClientRequest) => void;

export type UpstreamAgents = { 'http:': http.Agent; 'https:': https.Agent; close(): void };

/**
 * Keep-alive agents, one pool an origin. `lifo` keeps the number of warm connections at what the load needs and lets
 * the others grow old and go, so that a request seldom meets a connection which the upstream is about to close.
 */
export function createAgents(limits: AgentLimits, onRequest: OnRequest): UpstreamAgents {
  const options: AgentOptions = {
    keepAlive: true,
    scheduling: 'lifo',
    maxSockets: limits.maxSockets,
    maxFreeSockets: limits.maxSockets,
  };
  const onAdd: OnRequest = (request) => {
    (request as ClientRequest & { maxHeaderSize: number }).maxHeaderSize = limits.maxAnswerHeaderBytes;
    onRequest(request);
  };
  const onFree = (socket: Duplex) => keepIdle(socket, limits.idleTimeoutMs);
  const plain = new UpstreamAgent(options, onAdd, onFree);
  const tls = new TlsUpstreamAgent(options, onAdd, onFree);
  const sweeper = setInterval(() => {
    closeIdle(plain);
    closeIdle(tls);
  }, idleCheckMs);
  sweeper.unref();
  return {
    'http:': plain,
    'https:': tls,
    close() {
      clearInterval(sweeper);
      plain.destroy();
      tls.destroy();
    },
  };
}

// `addRequest` and `createConnection` are the two methods of an Agent that Node documents as its seams; the types
// know only the second.
type AddRequest = { addRequest(request: ClientRequest, options: object): void };

class UpstreamAgent extends http.Agent {
  readonly #onRequest: OnRequest;
  readonly #onFree: OnFree;

  constructor(options: AgentOptions, onRequest: OnRequest, onFree: OnFree) {
    super(options);
    this.#onRequest = onRequest;
    this.#onFree = onFree;
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return this.#onFree(socket);
  }

  addRequest(request: ClientRequest, options: { servername?: string }): void {
    this.#onRequest(request);
    // Or Node takes one from the Host header of every request, though it is of no use without TLS.
    options.servername = '';
    (http.Agent.prototype as unknown as AddRequest).addRequest.call(this, request, options);
  }

  override createConnection(...args: Parameters<http.Agent['createConnection']>): Duplex | null | undefined {
    return readAfterBrokenWrite(super.createConnection(...args));
  }
}

class TlsUpstreamAgent extends https.Agent {
  readonly #onRequest: OnRequest;
  readonly #onFree: OnFree;

  constructor(options: AgentOptions, onRequest: OnRequest, onFree: OnFree) {
    super(options);
    this.#onRequest = onRequest;
    this.#onFree = onFree;
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return this.#onFree(socket);
  }

  addRequest(request: ClientRequest, options: object): void {
    this.#onRequest(request);
    (http.Agent.prototype as unknown as AddRequest).addRequest.call(this, request, options);
  }

  override createConnection(...args: Parameters<https.Agent['createConnection']>): Duplex | null | undefined {
    return readAfterBrokenWrite(super.createConnection(...args));
  }
}

/** Called with a connection that is no longer used; false closes it. */
type OnFree = (socket: Duplex) => boolean;

const idleCheckMs = 250;
/** An upstream's announced time is cut by this much, so that no request is on its way when it ends. */
export const announcedTimeMarginMs = 1_000;

const idleLimitMs = Symbol('idle limit');
const idleSinceMs = Symbol('idle since');
type IdleSocket = Duplex & { [idleLimitMs]?: number; [idleSinceMs]?: number };

/** Takes an upstream's `Keep-Alive: timeout=5` to heart when it is shorter than the agent's own time. */
export function limitIdleTime(socket: Duplex, keepAlive: string): void {
  const seconds = /(?:^|[,\s])timeout=(\d+)/i.exec(keepAlive)?.[1];
  if (seconds === undefined) return;
  (socket as IdleSocket)[idleLimitMs] = Math.max(0, Number(seconds) * 1_000 - announcedTimeMarginMs);
}

// Node's way sets and clears a timer of the socket with every request; here one timer looks at all that are idle.
function keepIdle(socket: IdleSocket, idleTimeoutMs: number): boolean {
  socket[idleLimitMs] = Math.min(socket[idleLimitMs] ?? idleTimeoutMs, idleTimeoutMs);
  socket[idleSinceMs] = performance.now();
  return socket[idleLimitMs] > 0;
}

function closeIdle(agent: http.Agent): void {
  const nowMs = performance.now();
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of [...(sockets ?? [])] as IdleSocket[]) {
      if (nowMs + idleCheckMs - (socket[idleSinceMs] ?? 0) >= (socket[idleLimitMs] ?? 0)) socket.destroy();
    }
  }
}

type WriteDone = (error?: Error | null) => void;
type Writes = {
  _write(chunk: unknown, encoding: BufferEncoding, done: WriteDone): void;
  _writev?: ((chunks: { chunk: unknown; encoding: BufferEncoding }[], done: WriteDone) => void) | null;
};

/** How long an answer may take to be read once the upstream no longer takes the request. */
const readAfterBrokenWriteMs = 1_000;

/**
 * An upstream that answers 413 and closes while the request is still being sent makes the next write fail, and Node
 * then throws the connection away together with the answer waiting to be read on it. Here a write that fails because
 * the other end has closed is dropped, and the end of reading decides: the answer if there is one, the reset if not.
 */
function readAfterBrokenWrite<T extends Duplex | null | undefined>(connection: T): T {
  if (connection === null || connection === undefined) return connection;
  const socket = connection as unknown as Socket & Writes;
  const { _write, _writev } = socket;
  let broken = false;
  const afterWrite =
    (done: WriteDone): WriteDone =>
    (error) => {
      const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
      if (error && (code === 'EPIPE' || code === 'ECONNRESET') && socket.readable && !socket.connecting) {
        broken = true;
        const cut = setTimeout(() => socket.destroy(error), readAfterBrokenWriteMs);
        cut.unref();
        socket.once('close', () => clearTimeout(cut));
        done();
        return;
      }
      done(error);
    };
  socket._write = (chunk, encoding, done) => {
    if (broken) done();
    else _write.call(socket, chunk, encoding, afterWrite(done));
  };
  if (_writev) {
    socket._writev = (chunks, done) => {
      if (broken) done();
      else _writev.call(socket, chunks, afterWrite(done));
    };
  }
  return connection;
}
