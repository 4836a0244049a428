/**
 * Headers that speak of one connection and not of the message (RFC 9110 §7.6.1), or of this hop's proxy
 * (§11.7, §10.1.1). Framing is written anew on each side from what was parsed. `Trailer` is end-to-end and stays,
 * wherever the message it announces trailers for is still chunked.
 */
export const hopByHopNames: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

const noNames: ReadonlySet<string> = new Set();
/** Tokens that say what the connection does rather than name a header of this message. */
const onlyTokens = /^[\s,]*(?:(?:keep-alive|close|upgrade)[\s,]*)*$/i;

/**
 * The lower-case header names that a `Connection` header declares to be of this hop only. Names in `never` are
 * not taken: a client could otherwise have `Host` or `Content-Length` removed on the way.
 */
export function namedByConnection(connection: string | null): ReadonlySet<string> {
  if (connection === null || onlyTokens.test(connection)) return noNames;
  const names = new Set<string>();
  for (const token of connection.split(',')) {
    const name = token.trim().toLowerCase();
    if (name !== '' && !endToEndAlways.has(name)) names.add(name);
  }
  return names;
}

/** RFC 9110 §7.6.1: a sender must not list these, since their removal would change what the message means. */
const endToEndAlways: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'content-range',
  'cache-control',
  'authorization',
  'cookie',
  'set-cookie',
]);
