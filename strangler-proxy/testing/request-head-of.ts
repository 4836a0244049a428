import type { IncomingMessage } from 'node:http';
import { type RequestHead, readHead } from '../accept/request-head.ts';

/** The head of a request made of these parts, for tests that need no connection. */
export function headOf(parts: { method?: string; url?: string; httpVersion?: string; headers: string[] }): RequestHead {
  const { method = 'GET', url = '/', httpVersion = '1.1', headers } = parts;
  return readHead({ method, url, httpVersion, rawHeaders: headers } as IncomingMessage);
}
