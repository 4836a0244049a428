import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Auth } from '@strangler/platform/auth/auth.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import { decodeJwt } from 'jose';
import { Counter, Gauge, type Registry } from 'prom-client';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Notifications } from '../notifications/notifications.ts';
import { closeCodes, NotificationStream } from './stream.ts';
import { ownPosition, readPosition } from './stream-position.ts';
import type { WakeUps } from './wake-ups.ts';

export const streamPath = '/api/notifications/stream';

export type StreamLimits = {
  /** Streams at once in this process, and for one account. */
  streams: number;
  streamsOfAccount: number;
  /** How often a client is pinged; one that has not answered by the next ping is given up. */
  pingEveryMs: number;
  /** How long a client may take to accept what was sent. */
  sendTimeoutMs: number;
  /** How long a client may take to answer the closing handshake. */
  closeTimeoutMs: number;
  /** How long streams stay open once another tells: for what was left to this side and is still on its way. */
  lingerMs: number;
};

export const defaultStreamLimits: StreamLimits = {
  streams: 10_000,
  streamsOfAccount: 10,
  pingEveryMs: 30_000,
  sendTimeoutMs: 30_000,
  closeTimeoutMs: 2_000,
  lingerMs: 5_000,
};

/** How often it is looked who tells. */
const LOOK_EVERY_MS = 250;

type Connection = { socket: WebSocket; stream: NotificationStream; heard: 'since the ping' | 'not since the ping' };

/** The WebSocket end of the notifications: `/api/notifications/stream?access_token=…&after=<id>`. */
export class StreamServer {
  readonly #auth: Pick<Auth, 'verify'>;
  readonly #admit: (request: IncomingMessage) => Promise<void>;
  readonly #notifications: Pick<Notifications, 'toPush' | 'newestId'>;
  readonly #log: Log;
  readonly #limits: StreamLimits;
  readonly #byAccount = new Map<number, Set<Connection>>();
  readonly #slow: Counter;
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: 1_024, clientTracking: false });
  readonly #tells: () => boolean;
  #pings: NodeJS.Timeout | undefined;
  #looks: NodeJS.Timeout | undefined;
  #silentSinceMs: number | undefined;
  #count = 0;
  #draining = false;

  constructor(parts: {
    auth: Pick<Auth, 'verify'>;
    /** Asks whether who passes the request on may; throws the problem. Default: everybody may. */
    admit?: (request: IncomingMessage) => Promise<void>;
    notifications: Pick<Notifications, 'toPush' | 'newestId'>;
    wakeUps: Pick<WakeUps, 'listen'>;
    /** Whether it is this side that tells customers just now. */
    tells: () => boolean;
    log: Log;
    metrics: Registry;
    limits: StreamLimits;
  }) {
    this.#auth = parts.auth;
    this.#admit = parts.admit ?? (async () => {});
    this.#notifications = parts.notifications;
    this.#log = parts.log;
    this.#tells = parts.tells;
    this.#limits = parts.limits;
    this.#slow = new Counter({
      name: 'notifications_streams_slow_total',
      help: 'Notification streams cut because the client did not accept what was sent',
      registers: [parts.metrics],
    });
    const countOf = () => this.#count;
    new Gauge({
      name: 'notifications_streams',
      help: 'Open notification streams',
      registers: [parts.metrics],
      collect() {
        this.set(countOf());
      },
    });
    parts.wakeUps.listen((who) => this.#wake(who));
  }

  start(): void {
    this.#pings = setInterval(() => this.#ping(), this.#limits.pingEveryMs);
    this.#pings.unref();
    this.#looks = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#looks.unref();
  }

  /** Takes the socket if the upgrade is for the stream. */
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname !== streamPath) return false;
    this.#accept(request, url, socket, head).catch((error: unknown) => {
      refuse(socket, error instanceof Problem ? error : new Problem({ status: 500 }));
      if (!(error instanceof Problem)) this.#log.error({ err: error }, 'a notification stream could not be opened');
    });
    return true;
  }

  /** Closes every stream with 1001, so that its client comes back elsewhere, and takes no more. */
  async drain(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#pings);
    clearInterval(this.#looks);
    await this.#closeAll('the server is stopping');
  }

  /** Sends everybody to the other side once that has told for a while. */
  #look(): void {
    if (this.#tells()) {
      this.#silentSinceMs = undefined;
      return;
    }
    this.#silentSinceMs ??= performance.now();
    if (performance.now() - this.#silentSinceMs >= this.#limits.lingerMs)
      void this.#closeAll('another tells from now on');
  }

  async #closeAll(reason: string): Promise<void> {
    const all = [...this.#byAccount.values()].flatMap((connections) => [...connections]);
    await Promise.all(all.map(({ socket }) => this.#close(socket, closeCodes.goingAway, reason)));
  }

  async #accept(request: IncomingMessage, url: URL, socket: Duplex, head: Buffer): Promise<void> {
    await this.#admit(request);
    if (request.method !== 'GET') throw problems.badRequest('Expected a GET request that upgrades to a WebSocket.');
    const token = tokenOf(request, url);
    const { accountId } = await this.#auth.verify(token);
    const wanted = url.searchParams.get('after');
    const ids = wanted === null ? undefined : readPosition(wanted);
    if (wanted !== null && ids === undefined) {
      const message = 'expected the id of a notification, or 0; or two, one of each side';
      throw problems.validation([{ in: 'query', path: 'after', message }]);
    }
    if (this.#draining || this.#count >= this.#limits.streams) throw problems.unavailable(1);
    if ((this.#byAccount.get(accountId)?.size ?? 0) >= this.#limits.streamsOfAccount) {
      throw problems.tooMany(10, `An account may have ${this.#limits.streamsOfAccount} streams open at once.`);
    }
    if (socket.destroyed) return;
    const from = ids && ownPosition(ids);
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      this.#open(webSocket, accountId, from, token).catch((error: unknown) => {
        this.#log.error({ err: error, accountId }, 'a notification stream could not be opened');
        webSocket.close(closeCodes.internalError);
      });
    });
  }

  async #open(socket: WebSocket, accountId: number, from: number | undefined, token: string): Promise<void> {
    socket.on('error', (error) => this.#log.debug({ err: error, accountId }, 'a notification stream failed'));
    const after = from ?? (await this.#notifications.newestId(accountId));
    if (socket.readyState !== socket.OPEN) return;
    if (this.#draining) return void socket.close(closeCodes.goingAway);
    const stream = new NotificationStream({
      socket,
      after,
      read: (afterId, limit) => this.#notifications.toPush(accountId, afterId, limit),
      sendTimeoutMs: this.#limits.sendTimeoutMs,
      onSlow: () => this.#slow.inc(),
      onError: (error) => this.#log.error({ err: error, accountId }, 'a notification stream failed'),
    });
    const connection: Connection = { socket, stream, heard: 'since the ping' };
    const ofAccount = this.#byAccount.get(accountId) ?? new Set();
    this.#byAccount.set(accountId, ofAccount.add(connection));
    this.#count += 1;
    const expiry = closeAtExpiry(socket, token);
    socket.on('pong', () => {
      connection.heard = 'since the ping';
    });
    socket.once('close', () => {
      clearTimeout(expiry);
      this.#count -= 1;
      ofAccount.delete(connection);
      if (ofAccount.size === 0) this.#byAccount.delete(accountId);
    });
    socket.send(JSON.stringify({ type: 'ready', after }));
    // What was committed since `after` was read has woken nobody yet.
    stream.wake();
  }

  #wake(who: number | 'all'): void {
    const sets = who === 'all' ? [...this.#byAccount.values()] : [this.#byAccount.get(who) ?? new Set<Connection>()];
    for (const connections of sets) for (const { stream } of connections) stream.wake();
  }

  #ping(): void {
    for (const connections of this.#byAccount.values()) {
      for (const connection of connections) {
        if (connection.heard === 'not since the ping') {
          connection.socket.terminate();
          continue;
        }
        connection.heard = 'not since the ping';
        connection.socket.ping();
        // A wake-up that was lost on its way delays what is new until here at most.
        connection.stream.wake();
      }
    }
  }

  #close(socket: WebSocket, code: number, reason: string): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.terminate(), this.#limits.closeTimeoutMs);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.close(code, reason);
      if (socket.readyState === socket.CLOSED) {
        clearTimeout(timer);
        resolve();
      }
    });
  }
}

function tokenOf(request: IncomingMessage, url: URL): string {
  const header = /^Bearer +([\w.~+/=-]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  const token = header ?? url.searchParams.get('access_token');
  if (!token)
    throw problems.unauthorized('An access token is needed: Authorization: Bearer <token>, or ?access_token=');
  return token;
}

/** A stream lives no longer than the token that opened it. */
function closeAtExpiry(socket: WebSocket, token: string): NodeJS.Timeout | undefined {
  const { exp } = decodeJwt(token);
  if (exp === undefined) return undefined;
  const leftMs = Math.min(exp * 1000 - Date.now(), 2 ** 31 - 1);
  const timer = setTimeout(
    () => socket.close(closeCodes.tokenExpired, 'the access token has expired'),
    Math.max(0, leftMs),
  );
  timer.unref();
  return timer;
}

/** Answers an upgrade with a problem instead. */
function refuse(socket: Duplex, problem: Problem): void {
  if (socket.destroyed) return;
  const body = JSON.stringify(problem);
  const headers = {
    'content-type': 'application/problem+json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    ...problem.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title.replace(/[^\x20-\x7e]/g, '')}\r\n${lines.join('')}\r\n${body}`,
  );
}
