import http from 'node:http';
import https from 'node:https';
import { type ComparedAnswer, readBody } from '@strangler/platform/compare/answer.ts';

export type SentRequest = {
  method: string;
  /** With its query. */
  path: string;
  headers: Readonly<Record<string, string>>;
  body?: string;
};

export type AskOptions = {
  /** Of a side or of a proxy: http://host:port. */
  baseUrl: string;
  timeoutMs: number;
  /** A larger answer is compared by its head only. */
  maxBodyBytes: number;
  signal: AbortSignal;
};

export const defaultAsk = { timeoutMs: 10_000, maxBodyBytes: 1024 * 1024 };

/** A side gave no answer to compare; the message says which and why. */
export class SideAway extends Error {
  override name = 'SideAway';
}

/** Sends one request and reads the answer as it is compared. @throws SideAway */
export const askSide = async (request: SentRequest, options: AskOptions): Promise<ComparedAnswer> => {
  const { baseUrl, timeoutMs, maxBodyBytes } = options;
  const url = new URL(baseUrl);
  const startedMs = performance.now();
  // The time-out covers the body too: an answer without an end is none.
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const answer = await send(url, request, signal);
    const latencyMs = performance.now() - startedMs;
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBodyBytes) break;
      chunks.push(chunk as Buffer);
    }
    const headers: [string, string][] = [];
    for (let at = 0; at < answer.rawHeaders.length; at += 2) {
      headers.push([answer.rawHeaders[at]!, answer.rawHeaders[at + 1]!]);
    }
    const { 'content-type': contentType, 'content-encoding': contentEncoding } = answer.headers;
    return {
      status: answer.statusCode ?? 0,
      headers,
      body:
        bytes > maxBodyBytes
          ? { kind: 'skipped', why: 'too-large' }
          : readBody(
              {
                ...(contentType === undefined ? {} : { contentType }),
                ...(contentEncoding === undefined ? {} : { contentEncoding }),
              },
              Buffer.concat(chunks),
            ),
      latencyMs,
      effects: null,
    };
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException;
    const why = name === 'TimeoutError' ? `no answer within ${timeoutMs} ms` : (code ?? message);
    throw new SideAway(`${url.origin} gave no answer to ${request.method} ${request.path} (${why})`, { cause: error });
  }
};

const send = (url: URL, { method, path, headers, body }: SentRequest, signal: AbortSignal) =>
  new Promise<http.IncomingMessage>((resolve, reject) => {
    const { request } = url.protocol === 'https:' ? https : http;
    // A connection each: nothing is left open behind the command.
    // An address may have a path before which all others stand.
    const base = url.pathname.replace(/\/$/, '');
    const sent = request(
      url,
      { method, path: `${base}${path}`, headers: { ...headers }, signal, agent: false },
      resolve,
    );
    sent.on('error', reject);
    sent.end(body);
  });
