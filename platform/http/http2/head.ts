/** The head of a request in HTTP/2, in the shape that everything behind it knows from HTTP/1.1. */
export type Http2Head = {
  method: string;
  /** `:path` as received; empty where there is none. */
  target: string;
  /** `:scheme` in lower case; empty where there is none. */
  scheme: string;
  /** Names and values in turn. `:authority` stands first, as `host`; other pseudo-headers are left out. */
  rawHeaders: string[];
};

/**
 * Takes the head of a stream apart. A `host` beside `:authority` is left out where it says the same, and stays where it does not, so
 * that whoever refuses two hosts refuses this (RFC 9113 §8.3.1). Pieces of `cookie` become one line again (§8.2.3).
 */
export const readHttp2Head = (received: readonly string[]): Http2Head => {
  const head: Http2Head = { method: '', target: '', scheme: '', rawHeaders: [] };
  let authority: string | null = null;
  let cookie = -1;
  const { rawHeaders } = head;
  for (let at = 0; at < received.length; at += 2) {
    const name = received[at]!;
    const value = received[at + 1]!;
    switch (name) {
      case ':method':
        head.method = value;
        break;
      case ':path':
        head.target = value;
        break;
      case ':scheme':
        head.scheme = value.toLowerCase();
        break;
      case ':authority':
        authority = value;
        rawHeaders.push('host', value);
        break;
      case 'host':
        if (authority === null || authority.toLowerCase() !== value.toLowerCase()) rawHeaders.push(name, value);
        break;
      case 'cookie':
        if (cookie !== -1) rawHeaders[cookie] = `${rawHeaders[cookie]}; ${value}`;
        else cookie = rawHeaders.push(name, value) - 1;
        break;
      default:
        if (name.charCodeAt(0) !== 0x3a /* : */) rawHeaders.push(name, value);
    }
  }
  return head;
};

/** Headers that speak of a connection of HTTP/1.1; HTTP/2 has none of them (RFC 9113 §8.2.2). */
export const connectionHeaders: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);
