import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { createBudget } from './budget.ts';
import { Http2Request } from './request.ts';
import { Http2Response } from './response.ts';
import { StreamSocket } from './stream-socket.ts';

/** Bounds on one HTTP/2 connection. */
export type Http2Limits = {
  /** Requests under way at once. Default 100. */
  maxStreams: number;
  /** Requests that a client may take back, or make the server take back, at once; a tenth of it a second is given back. Default 200. */
  maxResets: number;
  /** PING and SETTINGS frames in a second; five times as many at once. Default 100. */
  maxPingsPerSecond: number;
  /** The end of an answer may wait this long for a client that lets none of it come. Default 60 s. */
  stalledAnswerMs: number;
};

export const defaultHttp2Limits: Http2Limits = {
  maxStreams: 100,
  maxResets: 200,
  maxPingsPerSecond: 100,
  stalledAnswerMs: 60_000,
};

/** Why a connection was ended here. `resets`, `pings` and `settings`: there were too many; `silent`: the client never spoke HTTP/2. */
export type SessionEnd = 'idle' | 'silent' | 'resets' | 'pings' | 'settings';

export type Http2SessionsOptions = {
  limits: Http2Limits;
  maxHeaderBytes: number;
  /** Until the client has said that it speaks HTTP/2. */
  headersTimeoutMs: number;
  /** Until the last byte of a request's body has come. */
  requestTimeoutMs: number;
  keepAliveTimeoutMs: number;
  onRequest(req: Http2Request, res: Http2Response, connection: TLSSocket): void;
  /** The last request on a connection is over. */
  onIdle(connection: TLSSocket): void;
  onSessions(open: number): void;
  onEnd(why: SessionEnd): void;
  onStalled(): void;
};

export type Http2Sessions = {
  /** Takes a connection on which HTTP/2 was agreed. */
  take(connection: TLSSocket): void;
  has(connection: TLSSocket): boolean;
  /** Tells clients to ask elsewhere; what comes within `idleMs` is still taken. Connections end when their requests have. */
  drain(idleMs: number): void;
  stop(): void;
};

type Exchange = {
  req: Http2Request;
  res: Http2Response;
  startedMs: number;
  /** How much of the answer the client had let come when this was last looked at, and since when it is so. */
  takenBytes: number;
  takenMs: number;
};

type Session = {
  session: ServerHttp2Session;
  connection: TLSSocket;
  startedMs: number;
  spoken: boolean;
  ending: boolean;
  idleSinceMs: number;
  exchanges: Set<Exchange>;
};

const lookEveryMs = 1_000;
/** A client has this long to hear why its connection ends, and to end it itself. */
const cutAfterMs = 500;
/** All of them are allowed by the protocol: the first GOAWAY says that the end is near and takes nothing back (RFC 9113 §6.8). */
const anyStream = 2 ** 31 - 1;
/** Above what is refused with an answer, so that there is one; a client that goes beyond this too gets its stream reset. */
const headerRoom = 2;
const mostHeaderLines = 512;

/**
 * Serves HTTP/2 on connections that somebody else accepts. What the protocol leaves to a client's good will is bounded: requests at once,
 * requests taken back (CVE-2023-44487), frames that ask for nothing but an answer, silence, answers left unread.
 */
export const createHttp2Sessions = (options: Http2SessionsOptions): Http2Sessions => {
  const { limits } = options;
  const sessions = new Set<Session>();
  const connections = new WeakSet<TLSSocket>();
  let draining = false;

  const sessionOptions = {
    settings: {
      maxConcurrentStreams: limits.maxStreams,
      maxHeaderListSize: options.maxHeaderBytes * headerRoom,
      enableConnectProtocol: false,
    },
    maxHeaderListPairs: mostHeaderLines,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // Above our own bound, which is counted and told of, and which also knows of resets that the client makes us send.
    streamResetBurst: 1_000 + 10 * limits.maxResets,
    streamResetRate: limits.maxResets,
    // The upstream's answer is sent on as it is, also where it says a thing twice.
    strictSingleValueFields: false,
  };

  const end = (one: Session, why: SessionEnd): void => {
    if (one.ending) return;
    one.ending = true;
    options.onEnd(why);
    const cut = setTimeout(() => one.connection.destroy(), cutAfterMs);
    cut.unref();
    one.connection.once('close', () => clearTimeout(cut));
    if (why === 'idle') one.session.close();
    else if (why === 'silent') one.session.destroy();
    else one.session.destroy(new Error(`too many ${why}`), constants.NGHTTP2_ENHANCE_YOUR_CALM);
  };

  const take = (connection: TLSSocket): void => {
    const session = performServerHandshake(connection, sessionOptions);
    const startedMs = performance.now();
    const one: Session = {
      session,
      connection,
      startedMs,
      spoken: false,
      ending: false,
      idleSinceMs: startedMs,
      exchanges: new Set(),
    };
    sessions.add(one);
    connections.add(connection);
    options.onSessions(sessions.size);
    // What a client does wrong ends its own connection, and says nothing of the server.
    session.on('error', () => {});
    const pings = createBudget({ burst: 5 * limits.maxPingsPerSecond, perSecond: limits.maxPingsPerSecond }, startedMs);
    session.on('ping', () => {
      if (!pings.spend(performance.now())) end(one, 'pings');
    });
    session.on('remoteSettings', () => {
      one.spoken = true;
      if (!pings.spend(performance.now())) end(one, 'settings');
    });
    const resets = createBudget({ burst: limits.maxResets, perSecond: limits.maxResets / 10 }, startedMs);
    session.on('stream', (stream: ServerHttp2Stream, _headers: unknown, flags: number, rawHeaders: string[]) => {
      begin(one, stream, flags, rawHeaders, () => {
        if (!resets.spend(performance.now())) end(one, 'resets');
      });
    });
    session.once('close', () => {
      sessions.delete(one);
      options.onSessions(sessions.size);
    });
    if (draining) session.close();
  };

  const begin = (
    one: Session,
    stream: ServerHttp2Stream,
    flags: number,
    rawHeaders: string[],
    onReset: () => void,
  ): void => {
    stream.on('error', () => {});
    // It may have been taken back in the packet that it came in.
    if (stream.destroyed || stream.closed) {
      onReset();
      return;
    }
    const socket = new StreamSocket(stream, one.connection);
    const req = new Http2Request(stream, rawHeaders, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0, socket);
    const res = new Http2Response(stream, req, socket);
    const startedMs = performance.now();
    const exchange: Exchange = { req, res, startedMs, takenBytes: 0, takenMs: startedMs };
    one.exchanges.add(exchange);
    stream.once('close', () => {
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !res.writableFinished) onReset();
      one.exchanges.delete(exchange);
      if (one.exchanges.size > 0) return;
      one.idleSinceMs = performance.now();
      options.onIdle(one.connection);
    });
    options.onRequest(req, res, one.connection);
  };

  const look = (): void => {
    const nowMs = performance.now();
    for (const one of sessions) {
      if (!one.spoken && nowMs - one.startedMs > options.headersTimeoutMs) end(one, 'silent');
      else if (one.exchanges.size === 0 && nowMs - one.idleSinceMs > options.keepAliveTimeoutMs) end(one, 'idle');
      for (const exchange of one.exchanges) judge(exchange, nowMs);
    }
  };

  const judge = (exchange: Exchange, nowMs: number): void => {
    const { req, res, startedMs } = exchange;
    if (!req.complete && nowMs - startedMs > options.requestTimeoutMs) {
      options.onStalled();
      req.socket.destroy();
      return;
    }
    // While an answer is still being made, whoever makes it looks after its reader.
    const { bytesWritten, writableLength } = res.socket;
    const takenBytes = bytesWritten - writableLength;
    if (!res.writableEnded || res.writableFinished || takenBytes !== exchange.takenBytes) {
      exchange.takenBytes = takenBytes;
      exchange.takenMs = nowMs;
    } else if (nowMs - exchange.takenMs > limits.stalledAnswerMs) {
      options.onStalled();
      req.socket.destroy();
    }
  };
  const shortestMs = Math.min(options.headersTimeoutMs, options.keepAliveTimeoutMs, limits.stalledAnswerMs);
  const looking = setInterval(look, Math.max(50, Math.min(lookEveryMs, shortestMs / 4)));
  looking.unref();

  return {
    take,
    has: (connection) => connections.has(connection),
    drain(idleMs) {
      draining = true;
      for (const { session } of sessions) {
        if (!session.closed && !session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR, anyStream);
      }
      const closing = setTimeout(() => {
        for (const { session } of sessions) session.close();
      }, idleMs);
      closing.unref();
    },
    stop: () => clearInterval(looking),
  };
};
