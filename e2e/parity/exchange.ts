import http from 'node:http';

/** A request, as it is put on the wire. */
export type RequestSpec = {
  method?: string;
  /** Sent as it is, well-formed or not. */
  path: string;
  headers?: Record<string, string>;
  /** A text is sent as it is; anything else as JSON, with its content type unless another is told. */
  body?: unknown;
};

/** A whole answer. */
export type Answer = {
  status: number;
  /** Every header as it was sent, names in lower case, in order of name. */
  headers: [name: string, value: string][];
  text: string;
  /** The text as JSON, undefined where it is not. */
  json: unknown;
};

/** Something that answers. Its connections are kept open; `close` ends them. */
export type Side = { name: string; send(request: RequestSpec): Promise<Answer>; close(): void };

const TIMEOUT_MS = 15_000;

export function sideAt(name: string, url: string): Side {
  const { hostname, port } = new URL(url);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  return {
    name,
    send: (request) => exchange({ hostname, port, agent }, request),
    close: () => agent.destroy(),
  };
}

function exchange(
  to: { hostname: string; port: string; agent: http.Agent },
  { method = 'GET', path, headers = {}, body }: RequestSpec,
): Promise<Answer> {
  const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  const own = {
    ...(text === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
    ...headers,
  };
  return new Promise((resolve, reject) => {
    const request = http.request({ ...to, method, path, headers: own, timeout: TIMEOUT_MS }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const received = Buffer.concat(chunks).toString('utf8');
        resolve({
          status: answer.statusCode ?? 0,
          headers: pairs(answer.rawHeaders),
          text: received,
          json: parsed(received),
        });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer within ${TIMEOUT_MS} ms`)));
    request.on('error', reject);
    request.end(text);
  });
}

function pairs(raw: string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 0; at < raw.length; at += 2) found.push([(raw[at] ?? '').toLowerCase(), raw[at + 1] ?? '']);
  return found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function headerOf(answer: Answer | undefined, name: string): string {
  return answer?.headers.find(([found]) => found === name)?.[1] ?? '';
}

/** The id of what an answer tells of. */
export function idIn(answer: Answer | undefined): number {
  const { id } = (answer?.json ?? {}) as { id?: number };
  if (id === undefined) throw new Error(`expected an answer with an id, found ${answer?.text ?? 'none'}`);
  return id;
}
