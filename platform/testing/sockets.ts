import net, { type AddressInfo } from 'node:net';

/** A port of 127.0.0.1 on which nobody listens at the moment. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Bytes to send (a text is sent as latin1, byte for byte), or something to wait for before going on. */
export type RawStep = string | Buffer | { waitFor: string } | { waitMs: number };

export type RawHead = {
  httpVersion: string;
  status: number;
  reason: string;
  /** As they came: in order, with their letter case, repeated ones repeated. */
  rawHeaders: [name: string, value: string][];
  /** By name in lower case; the values of repeated ones in order. */
  headers: Record<string, string[]>;
};

export type RawAnswer = {
  /** All that was received, as latin1: one character a byte. */
  text: string;
  bytes: Buffer;
  /** Of the first final answer; undefined when none came. */
  head: RawHead | undefined;
  /** What follows that head, still with its transfer coding. */
  body: string;
  /** Status codes of all complete heads that were received, 1xx included. */
  statuses: number[];
  ended: 'closed' | 'reset' | 'idle' | 'complete' | 'timeout';
};

export type RawRequest = {
  port: number;
  host?: string;
  /** What to send, byte for byte: at once, or in steps each in a packet of its own. */
  bytes: string | Buffer | readonly RawStep[];
  /** Between the packets. Default 0: as soon as the one before it was taken. */
  pauseMs?: number;
  /**
   * When to stop reading. `close`: when the server closes. `complete` (default): when it closes or as many answers are
   * whole as `answers` says. `{ idleMs }`: also when nothing came for so long after the last bytes were sent.
   */
  until?: 'close' | 'complete' | { idleMs: number };
  /** Default 1. */
  answers?: number;
  /** The answer to a HEAD request has no body, whatever its headers say. */
  isHead?: boolean;
  /** Ends our side of the connection (FIN) when all is sent. Default false. */
  halfClose?: boolean;
  /** Default 30 s. What was received by then is returned, `ended: 'timeout'`. */
  timeoutMs?: number;
};

/** Speaks to a server in exact bytes and returns what it answered in exact bytes. Rejects when it cannot connect. */
export async function rawHttp(request: RawRequest): Promise<RawAnswer> {
  const { port, host = '127.0.0.1', bytes, pauseMs = 0, until = 'complete', answers = 1, timeoutMs = 30_000 } = request;
  const steps: readonly RawStep[] = typeof bytes === 'string' || Buffer.isBuffer(bytes) ? [bytes] : bytes;
  const socket = net.connect({ port, host, noDelay: true, allowHalfOpen: true });
  const received: Buffer[] = [];
  const text = () => Buffer.concat(received).toString('latin1');
  const listeners = new Set<() => void>();
  let ended: RawAnswer['ended'] | undefined;
  const change = () => {
    for (const listener of listeners) listener();
  };
  const end = (how: RawAnswer['ended']) => {
    ended ??= how;
    change();
  };

  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const timer = setTimeout(end, timeoutMs, 'timeout');
  let idleTimer: NodeJS.Timeout | undefined;
  let sent = false;
  const watchIdle = () => {
    clearTimeout(idleTimer);
    if (sent && typeof until === 'object') idleTimer = setTimeout(end, until.idleMs, 'idle');
  };
  socket.on('data', (chunk) => {
    received.push(chunk);
    if (until === 'complete' && readAnswers(text(), request.isHead === true).whole >= answers) end('complete');
    watchIdle();
    change();
  });
  socket.on('end', () => end('closed'));
  socket.on('close', () => end('closed'));
  socket.on('error', () => end('reset'));

  const when = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (ended === undefined && !condition()) return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      look();
    });

  for (const [at, step] of steps.entries()) {
    if (ended !== undefined) break;
    if (typeof step === 'object' && 'waitFor' in step) await when(() => text().includes(step.waitFor));
    else if (typeof step === 'object' && 'waitMs' in step)
      await new Promise((resolve) => setTimeout(resolve, step.waitMs));
    else {
      await new Promise<void>((resolve) => {
        socket.write(typeof step === 'string' ? Buffer.from(step, 'latin1') : step, () => resolve());
      });
      if (at < steps.length - 1)
        await new Promise((resolve) => (pauseMs > 0 ? setTimeout(resolve, pauseMs) : setImmediate(resolve)));
    }
  }
  if (request.halfClose) socket.end();
  sent = true;
  watchIdle();
  await when(() => false);
  clearTimeout(timer);
  clearTimeout(idleTimer);
  socket.destroy();

  const { head, body, statuses } = readAnswers(text(), request.isHead === true);
  return { text: text(), bytes: Buffer.concat(received), head, body, statuses, ended: ended ?? 'closed' };
}

/** Reads as many answers as stand in the text, one after the other. */
function readAnswers(text: string, isHead: boolean) {
  const statuses: number[] = [];
  let first: { head: RawHead; body: string } | undefined;
  let whole = 0;
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    const head = end === -1 ? undefined : parseHead(rest.slice(0, end));
    if (head === undefined) break;
    rest = rest.slice(end + 4);
    statuses.push(head.status);
    if (head.status >= 100 && head.status < 200 && head.status !== 101) continue;
    const length = bodyLength(head, rest, isHead);
    first ??= { head, body: rest.slice(0, length) };
    if (length === undefined) break;
    whole += 1;
    rest = rest.slice(length);
  }
  return { head: first?.head, body: first?.body ?? '', statuses, whole };
}

/** The head of an answer, without the empty line; undefined when it is not one. */
export function parseHead(text: string): RawHead | undefined {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const match = /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(statusLine);
  if (match === null) return undefined;
  const rawHeaders = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const headers: Record<string, string[]> = {};
  for (const [name, value] of rawHeaders) {
    const key = name.toLowerCase();
    headers[key] = [...(headers[key] ?? []), value];
  }
  return { httpVersion: match[1] ?? '', status: Number(match[2]), reason: match[3] ?? '', rawHeaders, headers };
}

/** How much of `rest` is this answer's body (RFC 9112 §6.3); undefined while it is not whole or ends with the connection. */
function bodyLength(head: RawHead, rest: string, isHead: boolean): number | undefined {
  if (isHead || head.status === 204 || head.status === 304) return 0;
  if (head.status === 101) return undefined;
  if (head.headers['transfer-encoding']?.some((value) => /chunked/i.test(value))) return chunkedLength(rest);
  const length = Number(head.headers['content-length']?.[0] ?? Number.NaN);
  return Number.isNaN(length) || rest.length < length ? undefined : length;
}

function chunkedLength(rest: string): number | undefined {
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(rest.slice(at, lineEnd), 16);
    if (Number.isNaN(size)) return undefined;
    if (size > 0) {
      at = lineEnd + 2 + size + 2;
      if (at > rest.length) return undefined;
      continue;
    }
    // Trailers, then an empty line.
    if (rest.startsWith('\r\n', lineEnd + 2)) return lineEnd + 4;
    const end = rest.indexOf('\r\n\r\n', lineEnd);
    return end === -1 ? undefined : end + 4;
  }
}
