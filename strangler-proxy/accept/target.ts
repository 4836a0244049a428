import { METHODS } from 'node:http';
import { type Refusal, refuse, refuseAndClose } from './refusal.ts';
import type { RequestHead } from './request-head.ts';

/** The request target split into what is routed on and what is sent on. */
export type Target = {
  kind: 'target';
  /** What the upstream is asked for: path and query byte for byte as received, or `*`. */
  forwarded: string;
  /** The path without the query, byte for byte. */
  path: string;
  /** The authority of an absolute-form target in lower case, else null. */
  authority: string | null;
};

const absoluteForm = /^https?:\/\/([^/?#@]+)(?=[/?]|$)/i;
// What a URI can hold raw, or what browsers are known to send raw (WHATWG URL path and query code points).
const visible = /^[!-~]+$/;

// Node's parser also takes the methods of RTSP, in requests that say so, and does not tell that they did (RFC 9110 §15.6.2).
const httpMethods: ReadonlySet<string> = new Set(METHODS);

const badTarget = (detail: string) => refuseAndClose('target', 400, 'Invalid request target', detail);

/**
 * Takes the target apart without normalising anything in it: `//`, `..` and `%2F` reach the upstream as they came.
 * An absolute-form target is forwarded in origin-form (RFC 9112 §3.2.2); its authority is handed to the host check.
 */
export function requestTarget(head: RequestHead): Target | Refusal {
  const { method, target } = head;
  if (method === 'TRACE') {
    return refuse(
      'method',
      405,
      'Method not allowed',
      'TRACE would send back headers that the client must not see, among them those added on the way.',
      { Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' },
    );
  }
  if (!httpMethods.has(method)) {
    return refuseAndClose('method', 501, 'Method not implemented', 'Expected a method of HTTP.');
  }
  // The upstream is told https; a client that means another resource must not get this one (RFC 9110 §7.4).
  if (head.http2 !== null && head.http2.scheme !== 'https') return badTarget('Expected :scheme to be https.');
  if (!visible.test(target)) return badTarget('Expected visible ASCII characters only.');
  if (target.includes('#')) return badTarget('Expected no fragment; `#` in a path is written %23.');
  if (target.charCodeAt(0) === 0x2f /* / */) return originForm(target, null);
  if (target === '*') {
    if (method !== 'OPTIONS') return badTarget('Expected `*` with OPTIONS only.');
    return { kind: 'target', forwarded: '*', path: '*', authority: null };
  }
  if (head.http2 !== null) return badTarget('Expected :path to be a path.');
  const authority = absoluteForm.exec(target);
  if (authority === null) return badTarget('Expected a path, or an http URL with a host and without user or password.');
  const rest = target.slice(authority[0].length);
  return originForm(rest.startsWith('/') ? rest : `/${rest}`, authority[1]!.toLowerCase());
}

function originForm(forwarded: string, authority: string | null): Target {
  const query = forwarded.indexOf('?');
  return { kind: 'target', forwarded, path: query === -1 ? forwarded : forwarded.slice(0, query), authority };
}
