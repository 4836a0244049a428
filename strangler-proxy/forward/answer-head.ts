import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { stranglerHeaderPrefix } from '@strangler/platform/contracts/headers.ts';
import { hopByHopNames, namedByConnection } from '../accept/hop-by-hop.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { AddToAnswer, AnswerHeaders } from './forwarder.ts';

/** The head of an upstream's answer as it came; names and values in turn. */
export type UpstreamHead = { statusCode?: number; statusMessage?: string; rawHeaders: readonly string[] };

/** What an answer says about its connection and its framing; never sent on as it stands. */
export type AnswerHop = { connection: string | null; chunked: boolean; keepAlive: string | null };

/** Reads it from the raw headers, so that Node need not build an object of all of them. */
export function answerHop({ rawHeaders }: UpstreamHead): AnswerHop {
  const hop: AnswerHop = { connection: null, chunked: false, keepAlive: null };
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { length } = rawHeaders[i]!;
    if (length !== 10 && length !== 17) continue;
    const name = rawHeaders[i]!.toLowerCase();
    const value = rawHeaders[i + 1]!;
    if (name === 'connection') hop.connection = hop.connection === null ? value : `${hop.connection},${value}`;
    else if (name === 'transfer-encoding') hop.chunked = true;
    else if (name === 'keep-alive') hop.keepAlive = value;
  }
  return hop;
}

/**
 * Sends the head of an upstream's answer on: status, reason and headers in their order and case, without what belongs
 * to the upstream's connection, and with nothing invented; `rawHeaders` are the answer's own, or what
 * stands in their place. Throws where Node will not send what the upstream sent,
 * such as a status of 099; nothing has been sent then.
 */
export function sendAnswerHead(
  answer: UpstreamHead,
  rawHeaders: readonly string[],
  hop: AnswerHop,
  res: ServerResponse,
  add: AnswerHeaders,
): void {
  const status = answer.statusCode!;
  const named = namedByConnection(hop.connection);
  const chunked = hop.chunked && mayBeChunked(res, status);
  const headers: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const key = rawHeaders[i]!;
    const name = key.toLowerCase();
    if (hopByHopNames.has(name)) {
      // Kept in its place, so that what the client sees is what the upstream wrote; the body is encoded anew.
      if (name === 'transfer-encoding' && chunked) headers.push(key, 'chunked');
      continue;
    }
    if (name === 'trailer' && !chunked) continue;
    if (name.startsWith(stranglerHeaderPrefix) || (named.size > 0 && named.has(name))) continue;
    headers.push(key, rawHeaders[i + 1]!);
  }
  for (const item of add) headers.push(item);

  res.sendDate = false;
  // Without this Node adds `Connection: keep-alive` and `Keep-Alive`; HTTP/1.1 connections persist without a word.
  if (res.shouldKeepAlive && res.req.httpVersion !== '1.0') res.removeHeader('connection');
  res.writeHead(status, answer.statusMessage ?? '', headers);
}

/**
 * Sends the head on as the request's filter wants it, and tells who copies the exchange. Returns what the body goes through.
 * Throws where it must not or cannot be sent; nothing has been sent then.
 */
export function openAnswer(
  answer: UpstreamHead,
  hop: AnswerHop,
  { res, addToAnswer, outgoing }: { res: ServerResponse; addToAnswer: AddToAnswer; outgoing: OutgoingRequest },
  latencyMs: number,
): readonly Duplex[] {
  const { rawHeaders } = answer;
  const status = answer.statusCode!;
  const add = typeof addToAnswer === 'function' ? addToAnswer(status) : addToAnswer;
  const filtered = outgoing.filter?.({ status, rawHeaders });
  sendAnswerHead(answer, filtered?.rawHeaders ?? rawHeaders, hop, res, add);
  outgoing.tap?.answering(status, rawHeaders, latencyMs);
  return filtered?.through ?? nothing;
}

const nothing: readonly Duplex[] = [];

/** RFC 9110 §15.2: a proxy passes interim answers on. 100 was answered by this proxy itself. */
export function sendInterimAnswer(res: ServerResponse, status: number, rawHeaders: readonly string[]): void {
  if (status === 100 || res.req.httpVersion === '1.0' || res.headersSent || res.socket === null) return;
  try {
    res.writeInformation(status, rawHeaders as unknown as string[]);
  } catch {
    // An interim answer that Node will not send is dropped: the final one is what counts.
  }
}

/** HTTP/1.0 knows no chunks, and these statuses have no body (RFC 9112 §6.1). */
function mayBeChunked(res: ServerResponse, status: number): boolean {
  return res.req.httpVersion !== '1.0' && status !== 204 && status !== 304;
}
