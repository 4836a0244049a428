import net, { type AddressInfo, type Socket } from 'node:net';

/** A request as an upstream received it, byte for byte (latin1). */
export type ReceivedRequest = {
  requestLine: string;
  /** Names and values in order and case. */
  headers: [name: string, value: string][];
  /** Values of one header by its name in lower case, in order. */
  all(name: string): string[];
  /** The first of them. */
  one(name: string): string | undefined;
  /** What followed the head, with its transfer coding. */
  rawBody: string;
  /** Counts connections from 1 in the order in which they came. */
  connection: number;
};

export type RawUpstream = {
  port: number;
  origin: string;
  received: ReceivedRequest[];
  /** All connections that ever came. */
  connections(): number;
  openConnections(): number;
  /** Takes a connection that another server has accepted as one of its own. */
  take(socket: Socket): void;
  /** Cuts every open connection and listens no more. */
  close(): Promise<void>;
  sockets: Set<Socket>;
};

export type AnswerRaw = (request: ReceivedRequest, socket: Socket) => void;

/**
 * A server made of a socket: it records the exact bytes that come and answers with the exact bytes that `answer`
 * writes. `answer` is called when a request is whole, or as soon as its head is there (`when: 'head'`).
 */
export async function startRawUpstream(
  answer: AnswerRaw,
  { when = 'whole', port = 0 }: { when?: 'whole' | 'head'; port?: number } = {},
): Promise<RawUpstream> {
  const received: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = net.createServer({ allowHalfOpen: false }, (socket) => {
    connections += 1;
    const connection = connections;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    let text = '';
    let upgraded = false;
    socket.on('data', (chunk) => {
      if (upgraded) return;
      text += chunk.toString('latin1');
      for (;;) {
        const headEnd = text.indexOf('\r\n\r\n');
        if (headEnd === -1) return;
        const request = parse(text.slice(0, headEnd), connection);
        const rest = text.slice(headEnd + 4);
        const length = when === 'head' ? rest.length : bodyLength(request, rest);
        if (length === undefined) return;
        request.rawBody = rest.slice(0, length);
        text = rest.slice(length);
        received.push(request);
        if (request.one('upgrade') !== undefined) upgraded = true;
        answer(request, socket);
        if (when === 'head') {
          upgraded = true;
          return;
        }
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    origin: `http://127.0.0.1:${bound}`,
    received,
    connections: () => connections,
    openConnections: () => sockets.size,
    sockets,
    take: (socket) => void server.emit('connection', socket),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** An answer of 200 with this text and a length. */
export const ok = (text = 'ok') => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;

function parse(head: string, connection: number): ReceivedRequest {
  const [requestLine = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const all = (name: string) => headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  return { requestLine, headers, all, one: (name) => all(name)[0], rawBody: '', connection };
}

function bodyLength(request: ReceivedRequest, rest: string): number | undefined {
  if (request.one('transfer-encoding') !== undefined) {
    const end = /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(rest);
    return end === null ? undefined : end.index + end[0].length;
  }
  const length = Number(request.one('content-length') ?? 0);
  return rest.length < length ? undefined : length;
}
