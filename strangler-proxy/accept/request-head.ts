import type { IncomingMessage } from 'node:http';
import { Http2Request } from '@strangler/platform/http/http2/request.ts';

/** What the accepting passes read of a request: its head as it stood on the wire, scanned once. */
export type RequestHead = {
  method: string;
  /** The request target as received: `/path?query`, `*`, or an absolute URL. */
  target: string;
  httpVersion: string;
  /** What only HTTP/2 says; null in HTTP/1. `endsWithHead`: there is no body, not even an empty one. */
  http2: { scheme: string; endsWithHead: boolean } | null;
  /** Names and values in turn, in the order and the case received. */
  raw: readonly string[];
  /** The names of `raw` in lower case, one a header line. */
  names: readonly string[];
  /** Values by line; empty where the header is absent. */
  hosts: readonly string[];
  contentLengths: readonly string[];
  transferEncodings: readonly string[];
  /** A name is Content-Length or Transfer-Encoding to whoever reads `_` as `-`, and is not to us. */
  framingInDisguise: boolean;
  /** Every `Connection` line joined by commas, in lower case; null where there is none. */
  connection: string | null;
  /** Bytes of all names and values, with the four that separate them. */
  headerBytes: number;
};

const none: readonly string[] = [];
const framingNames: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding']);

/**
 * A name, in lower case, as servers know it that hand headers on as variables (RFC 3875 §4.1.18: CGI, and after it WSGI, PHP,
 * Rack, nginx): to them `X_Forwarded_For` is `X-Forwarded-For`. What only the proxy may say nobody may say in that way either.
 */
export function canonicalName(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name;
}

/** Reads the head of a request once, so that no pass has to walk its headers again. */
export function readHead(req: IncomingMessage): RequestHead {
  const raw = req.rawHeaders;
  const names: string[] = new Array(raw.length >> 1);
  let hosts = none;
  let contentLengths = none;
  let transferEncodings = none;
  let connection: string | null = null;
  let framingInDisguise = false;
  let headerBytes = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const value = raw[i + 1]!;
    const name = raw[i]!.toLowerCase();
    names[i >> 1] = name;
    headerBytes += name.length + value.length + 4;
    if (name.includes('_') && framingNames.has(canonicalName(name))) framingInDisguise = true;
    switch (name) {
      case 'host':
        hosts = [...hosts, value];
        break;
      case 'content-length':
        contentLengths = [...contentLengths, value];
        break;
      case 'transfer-encoding':
        transferEncodings = [...transferEncodings, value];
        break;
      case 'connection':
        connection = connection === null ? value.toLowerCase() : `${connection},${value.toLowerCase()}`;
        break;
    }
  }
  return {
    method: req.method ?? '',
    target: req.url ?? '',
    httpVersion: req.httpVersion,
    http2: req instanceof Http2Request ? req : null,
    raw,
    names,
    hosts,
    contentLengths,
    transferEncodings,
    framingInDisguise,
    connection,
    headerBytes,
  };
}

/** The first value of a header, by its name in lower case. */
export function firstOf(head: RequestHead, name: string): string | undefined {
  const line = head.names.indexOf(name);
  return line === -1 ? undefined : head.raw[line * 2 + 1];
}

/** All lines of a header joined by commas, as RFC 9110 §5.3 allows, or undefined where there is none. */
export function listOf(head: RequestHead, name: string): string | undefined {
  let joined: string | undefined;
  for (let line = head.names.indexOf(name); line !== -1; line = head.names.indexOf(name, line + 1)) {
    const value = head.raw[line * 2 + 1]!;
    joined = joined === undefined ? value : `${joined}, ${value}`;
  }
  return joined;
}
