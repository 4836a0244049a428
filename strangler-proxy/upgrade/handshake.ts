import http, { type ClientRequest, type IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { hopByHopNames } from '../accept/hop-by-hop.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import { answerHop, sendAnswerHead } from '../forward/answer-head.ts';
import type { AnswerHeaders, ForwardError, ForwardResult } from '../forward/forwarder.ts';
import type { Instance } from '../upstream/upstream.ts';

export type HandshakeParts = {
  req: IncomingMessage;
  socket: Duplex;
  /** What the client has sent after its request. */
  head: Buffer;
  outgoing: OutgoingRequest;
  addToAnswer: AnswerHeaders;
  timeoutMs: number;
};

/** `upstream` is the connection that has been upgraded; null where the upstream answered with something else. */
export type Handshake = { result: ForwardResult; upstream: Duplex | null };

/**
 * Asks one instance to upgrade. Its consent goes to the client at once, and so does any other answer, body and all.
 * http-proxy-middleware is not used here: httpxy ends the client's connection on every failure, so that no second
 * instance could be asked, and it destroys what is not GET and `websocket` instead of answering it.
 */
export function shakeHands(parts: HandshakeParts, instance: Instance): Promise<Handshake> {
  const { req, socket, head, outgoing, addToAnswer, timeoutMs } = parts;
  const startedMs = performance.now();
  return new Promise((resolve) => {
    let connected = false;
    let answered = false;
    const origin = new URL(instance.origin);
    const request: ClientRequest = (origin.protocol === 'https:' ? https : http).request({
      host: origin.hostname.startsWith('[') ? origin.hostname.slice(1, -1) : origin.hostname,
      port: origin.port,
      method: outgoing.method,
      path: outgoing.target,
      headers: { ...outgoing.headers, Connection: 'Upgrade', Upgrade: req.headers.upgrade ?? '' },
      agent: false,
      // As with every request: the upstream is asked for exactly what the client asked for.
      setHost: outgoing.headers.Host === undefined && outgoing.headers.host === undefined,
    });
    const latencyMs = () => performance.now() - startedMs;
    const settle = (result: ForwardResult, upstream: Duplex | null) => {
      clearTimeout(timer);
      watch.stop();
      resolve({ result, upstream });
    };
    const fail = (error: ForwardError, detail: string) => {
      const phase = answered ? 'answering' : connected ? 'sent' : 'connect';
      settle({ kind: 'failed', error, phase, connection: 'fresh', detail, latencyMs: latencyMs() }, null);
      request.destroy();
    };
    const onClientGone = () => {
      settle({ kind: 'client-aborted', error: 'client-aborted-response', latencyMs: latencyMs() }, null);
      request.destroy();
    };
    const timer = setTimeout(() => {
      fail(connected ? 'upstream-timeout' : 'upstream-connect-timeout', `no answer within ${timeoutMs} ms`);
    }, timeoutMs);
    const watch = watchClient(socket, onClientGone);
    request.on('socket', (connection) => {
      connection.once(origin.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
      });
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      const malformed = error.code?.startsWith('HPE_') === true;
      fail(
        malformed ? 'upstream-bad-response' : connected ? 'upstream-reset' : 'upstream-refused',
        error.code ?? error.message,
      );
    });
    request.on('upgrade', (answer, upstream, upstreamHead) => {
      answered = true;
      upstream.on('error', () => {});
      socket.write(upgradeHead(answer, addToAnswer), 'latin1');
      if (upstreamHead.length > 0) upstream.unshift(upstreamHead);
      settle({ kind: 'answered', status: 101, latencyMs: latencyMs() }, upstream);
      if (head.length > 0) socket.unshift(head);
    });
    request.on('response', (answer) => {
      answered = true;
      const latency = latencyMs();
      const status = answer.statusCode ?? 0;
      answer.on('error', (error) => {
        socket.destroy();
        fail('upstream-body-broken', error.message);
      });
      const res = responseOn(req, socket);
      res.on('finish', () => settle({ kind: 'answered', status, latencyMs: latency }, null));
      try {
        sendAnswerHead(answer, answer.rawHeaders, answerHop(answer), res, addToAnswer);
        answer.pipe(res);
      } catch (error) {
        answered = false;
        fail('upstream-bad-response', (error as Error).message);
      }
    });
    request.end();
  });
}

/** What a client may send ahead of the upstream's answer; beyond it, it is not read, and its going is not seen. */
const maxReadAheadBytes = 64 * 1024;

/** Calls `onGone` when the client goes away, which only reading tells; what was read is put back by `stop`. */
function watchClient(socket: Duplex, onGone: () => void): { stop(): void } {
  const ahead: Buffer[] = [];
  let bytes = 0;
  const read = (chunk: Buffer) => {
    ahead.push(chunk);
    bytes += chunk.length;
    if (bytes > maxReadAheadBytes) socket.pause();
  };
  let watching = true;
  socket.on('data', read);
  socket.on('end', onGone);
  socket.on('close', onGone);
  return {
    stop() {
      if (!watching) return;
      watching = false;
      socket.pause();
      socket.off('data', read);
      socket.off('end', onGone);
      socket.off('close', onGone);
      if (ahead.length > 0 && !socket.readableEnded && !socket.destroyed) socket.unshift(Buffer.concat(ahead));
    },
  };
}

/** A response on a connection that has left the HTTP server for an upgrade; the connection ends with it. */
export function responseOn(req: IncomingMessage, socket: Duplex): ServerResponse {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
  res.on('finish', () => {
    res.detachSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
    socket.end();
    socket.resume();
  });
  return res;
}

function upgradeHead(answer: IncomingMessage, add: AnswerHeaders): string {
  const { rawHeaders } = answer;
  let text = `HTTP/1.1 101 ${answer.statusMessage || STATUS_CODES[101]}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase();
    if (name === 'connection' || name === 'upgrade' || !hopByHopNames.has(name)) {
      text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
    }
  }
  for (let i = 0; i < add.length; i += 2) text += `${add[i]}: ${add[i + 1]}\r\n`;
  return `${text}\r\n`;
}
