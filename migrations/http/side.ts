import http from 'node:http';
import https from 'node:https';
import { urlToHttpOptions } from 'node:url';
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

/** An answer as it came. */
export type SideAnswer = {
  status: number;
  /** As they came, names in lower case. */
  headers: [name: string, value: string][];
  /** Empty where the body was too large. */
  bytes: Buffer;
  /** false: the body was larger than is read. */
  isWhole: boolean;
  /** The body as JSON; undefined where it is none. */
  json: unknown;
  /** Until the whole of it was there. */
  latencyMs: number;
};

/** One of the programs whose answers are held against each other, or a proxy before them. */
export type Side = {
  /** For messages, such as `monolith`. */
  name: string;
  /** Never throws for what the side answers. @throws SideUnreachable when it does not answer, or not in time */
  send(request: SentRequest): Promise<SideAnswer>;
  close(): void;
};

export type SideOptions = {
  /** Of a whole answer, 15,000 ms unless told: one without an end is none. */
  timeoutMs?: number;
  /** A body that is larger, 16 MiB unless told, is not read: such an answer is compared by its head only. */
  maxBodyBytes?: number;
  /** Ends what is under way, as if the side did not answer. */
  signal?: AbortSignal;
  /** A connection for every request: for a few of them, with long pauses between. Else up to eight are kept until `close`. */
  connectEachTime?: boolean;
};

/** A side cannot be reached, or does not answer in time. */
export class SideUnreachable extends Error {
  override name = 'SideUnreachable';
}

/** A side at a base URL; what the URL has of a path goes before every path. */
export function sideAt(
  name: string,
  baseUrl: string,
  { timeoutMs = 15_000, maxBodyBytes = 16 * 1024 * 1024, signal, connectEachTime = false }: SideOptions = {},
): Side {
  const url = new URL(baseUrl);
  const client = url.protocol === 'https:' ? https : http;
  const { hostname, port, auth } = urlToHttpOptions(url);
  const agent = connectEachTime ? null : new client.Agent({ keepAlive: true, maxSockets: 8 });
  const before = url.pathname.replace(/\/$/, '');

  const send: Side['send'] = async ({ method, path, headers, body }) => {
    const beganMs = performance.now();
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new Error(`expected a whole answer within ${timeoutMs} ms, found none`)),
      timeoutMs,
    );
    const ended = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
    const length = body === null ? {} : { 'content-length': `${Buffer.byteLength(body)}` };
    try {
      const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
        const request = client.request(
          {
            ...{ hostname, port, auth, agent: agent ?? false, signal: ended },
            ...{ method, path: `${before}${path}`, headers: { ...headers, ...length } },
          },
          resolve,
        );
        request.on('error', reject);
        request.end(body ?? undefined);
      });
      const bytes = await readUpTo(answer, maxBodyBytes);
      return {
        status: answer.statusCode ?? 0,
        headers: pairsOf(answer.rawHeaders),
        bytes: bytes ?? Buffer.alloc(0),
        isWhole: bytes !== null,
        json: bytes === null ? undefined : parsed(bytes.toString('utf8')),
        latencyMs: performance.now() - beganMs,
      };
    } catch (error) {
      const { message, code } = (ended.aborted ? ended.reason : error) as NodeJS.ErrnoException;
      // Where several addresses were tried, only the code says why.
      const why = message || code;
      throw new SideUnreachable(`${name} (${url.origin}): ${method} ${path.slice(0, 200)}: ${why}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };

  return { name, send, close: () => agent?.destroy() };
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
  const { status, headers, latencyMs, bytes, isWhole } = answer;
  const body = isWhole ? readBody(head, bytes) : { kind: 'skipped' as const, why: 'too-large' as const };
  return { status, headers, body, latencyMs, effects };
}

/** null: there is more. */
async function readUpTo(answer: http.IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
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
