import http, { type AgentOptions } from 'node:http';
import https from 'node:https';
import net, { type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { dryRunProbePath } from '@strangler/platform/contracts/dry-run.ts';
import { type Agents, noDryRunCode } from './ask.ts';

export type DryRunAgentOptions = {
  /** Connections an origin. */
  maxSockets: number;
  /** To connect and to have the probe answered. */
  probeTimeoutMs: number;
  /** An unused connection is closed after this; below the upstream's own keep-alive time (5 s in Node). */
  idleTimeoutMs: number;
};

/** What a server that makes no dry runs answered when it was asked whether it does. */
export class NoDryRunError extends Error {
  override name = 'NoDryRunError';
  readonly code = noDryRunCode;
}

/**
 * Agents for dry runs. A server that does not know what a dry run is would do the write, so none is sent on a connection
 * on which the server has not said that it does: each new connection is asked first. An instance that comes back as another
 * version is asked again that way, whoever has noticed that it was gone.
 */
export const createDryRunAgents = (options: DryRunAgentOptions): Agents & { close(): void } => {
  const agentOptions: AgentOptions = {
    keepAlive: true,
    scheduling: 'lifo',
    maxSockets: options.maxSockets,
    maxFreeSockets: options.maxSockets,
    timeout: options.idleTimeoutMs,
  };
  const plain = new http.Agent(agentOptions);
  const secure = new https.Agent(agentOptions);
  for (const agent of [plain, secure]) {
    agent.createConnection = (told, callback) => {
      connectAndProbe(told as ConnectOptions, agent === secure, options.probeTimeoutMs).then(
        (socket) => callback?.(null, socket as Duplex),
        (error: Error) => callback?.(error, undefined as never),
      );
      return undefined;
    };
  }
  return {
    'http:': plain,
    'https:': secure,
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
};

type ConnectOptions = { host: string; port: number; servername?: string };

const mostProbeBytes = 16 * 1_024;

const connectAndProbe = ({ host, port, servername }: ConnectOptions, secure: boolean, timeoutMs: number) =>
  new Promise<Socket>((resolve, reject) => {
    const socket: Socket = secure
      ? tls.connect({ host, port, ...(servername === undefined || servername === '' ? {} : { servername }) })
      : net.connect({ host, port });
    let text = '';
    const settle = (error: Error | null): void => {
      clearTimeout(timer);
      socket.removeListener('data', onData);
      socket.removeListener('error', settle);
      socket.removeListener('close', onClose);
      if (error === null) {
        resolve(socket);
        return;
      }
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onClose = () => settle(new NoDryRunError('the connection was closed before the probe was answered'));
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const read = readProbe(text);
      if (read === 'incomplete' && text.length < mostProbeBytes) return;
      settle(read === 'yes' ? null : new NoDryRunError('the server does not say that it makes dry runs'));
    };
    const timer = setTimeout(
      () => settle(Object.assign(new Error(`no answer to the probe within ${timeoutMs} ms`), { code: 'ETIMEDOUT' })),
      timeoutMs,
    );
    timer.unref();
    socket.setNoDelay(true);
    socket.on('error', settle);
    socket.on('close', onClose);
    socket.on('data', onData);
    const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    socket.write(`GET ${dryRunProbePath} HTTP/1.1\r\nHost: ${authority}\r\nAccept: application/json\r\n\r\n`);
  });

/**
 * Reads the answer to the probe off the wire. It must leave the connection as it found it, so only an answer of a known length
 * will do, with nothing after it, from a server that keeps the connection.
 */
export const readProbe = (text: string): 'yes' | 'no' | 'incomplete' => {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return 'incomplete';
  const head = text.slice(0, headEnd);
  if (!/^HTTP\/1\.1 200(?: |\r|$)/.test(head) || /\r\nconnection:[^\r]*\bclose\b/i.test(head)) return 'no';
  const length = /\r\ncontent-length:[ \t]*(\d{1,6})[ \t]*(?:\r|$)/i.exec(head);
  if (length === null || /\r\ntransfer-encoding:/i.test(head)) return 'no';
  const body = text.slice(headEnd + 4);
  if (body.length < Number(length[1])) return 'incomplete';
  if (body.length > Number(length[1])) return 'no';
  try {
    return (JSON.parse(body) as { dryRun?: unknown } | null)?.dryRun === true ? 'yes' : 'no';
  } catch {
    return 'no';
  }
};
