import type { IncomingMessage, ServerResponse } from 'node:http';
import { stranglerHeaderPrefix } from '@strangler/platform/contracts/headers.ts';
import { hopByHopNames, namedByConnection } from '../accept/hop-by-hop.ts';
import type { AnswerHeaders } from './forwarder.ts';

/**
 * Sends the head of an upstream's answer on: status, reason and headers in their order and case, without what belongs
 * to the upstream's connection, and with nothing invented. Throws where Node will not send what the upstream sent,
 * such as a status of 099; nothing has been sent then.
 */
export function sendAnswerHead(answer: IncomingMessage, res: ServerResponse, add: AnswerHeaders): void {
  const { rawHeaders } = answer;
  const status = answer.statusCode!;
  const named = namedByConnection(answer.headers.connection ?? null);
  const chunked = answer.headers['transfer-encoding'] !== undefined && mayBeChunked(res, status);
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
  if (res.shouldKeepAlive && res.req.httpVersionMinor === 1) res.removeHeader('connection');
  res.writeHead(status, answer.statusMessage ?? '', headers);
}

/** HTTP/1.0 knows no chunks, and these statuses have no body (RFC 9112 §6.1). */
function mayBeChunked(res: ServerResponse, status: number): boolean {
  return res.req.httpVersionMinor === 1 && status !== 204 && status !== 304;
}
