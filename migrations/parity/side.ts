import http from 'node:http';
import https from 'node:https';
import { type ComparedAnswer, type Effects, readBody } from '@strangler/platform/compare/answer.ts';

/** A request as it is put on the wire. */
export type SentRequest = {
  method: string;
  /** Path and query, sent as they are, well-formed or not. */
  path: string;
  headers: Readonly<Record<string, string>>;
  /** Sent as it is; null: none. */
  body: string | null;
};

/** A whole answer. */
export type SideAnswer = {
  status: number;
  /** As they came, names in lower case. */
  headers: [name: string, value: string][];
  bytes: Buffer;
  /** The body as JSON; undefined where it is none. */
  json: unknown;
  latencyMs: number;
};

/** One of the two programs that are held to be alike. */
export type Side = {
  /** For messages, such as `monolith`. */
  name: string;
  /** Never throws for what the side answers. @throws SideUnreachable when it does not answer. */
  send(request: SentRequest): Promise<SideAnswer>;
  close(): void;
};

/** A side cannot be reached, or does not answer in time. */
export class SideUnreachable extends Error {
  override name = 'SideUnreachable';
}

/** A side at a base URL; what the URL has of a path goes before every path. */
export function sideAt(name: string, baseUrl: string, { timeoutMs = 15_000 }: { timeoutMs?: number } = {}): Side {
  const { protocol, hostname, port, pathname, origin } = new URL(baseUrl);
  const client = protocol === 'https:' ? https : http;
  const agent = new client.Agent({ keepAlive: true, maxSockets: 8 });
  const before = pathname.replace(/\/$/, '');

  const send: Side['send'] = ({ method, path, headers, body }) =>
    new Promise((resolve, reject) => {
      const beganMs = performance.now();
      const away = (why: string) =>
        reject(new SideUnreachable(`${name} (${origin}): ${method} ${path.slice(0, 200)}: ${why}`));
      const length = body === null ? {} : { 'content-length': `${Buffer.byteLength(body)}` };
      const options = { agent, hostname, port, method, path: `${before}${path}`, headers: { ...headers, ...length } };
      const request = client.request({ ...options, timeout: timeoutMs }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', (error) => away(error.message));
        answer.on('end', () => {
          const bytes = Buffer.concat(chunks);
          resolve({
            status: answer.statusCode ?? 0,
            headers: pairsOf(answer.rawHeaders),
            bytes,
            json: parsed(bytes.toString('utf8')),
            latencyMs: performance.now() - beganMs,
          });
        });
      });
      request.on('timeout', () => request.destroy(new Error(`expected an answer within ${timeoutMs} ms, found none`)));
      request.on('error', (error) => away(error.message));
      request.end(body ?? undefined);
    });

  return { name, send, close: () => agent.destroy() };
}

export function headerOf(answer: Pick<SideAnswer, 'headers'>, name: string): string | undefined {
  return answer.headers.find(([found]) => found === name)?.[1];
}

/** As the core of the comparison takes it. `effects` null: nobody has looked what else happened. */
export function comparedAnswer(answer: SideAnswer, effects: Effects | null): ComparedAnswer {
  const contentType = headerOf(answer, 'content-type');
  const contentEncoding = headerOf(answer, 'content-encoding');
  const head = {
    ...(contentType === undefined ? {} : { contentType }),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
  };
  const { status, headers, latencyMs, bytes } = answer;
  return { status, headers, body: readBody(head, bytes), latencyMs, effects };
}

function pairsOf(raw: readonly string[]): [string, string][] {
  return raw.flatMap((name, at): [string, string][] => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] ?? '']] : []));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
