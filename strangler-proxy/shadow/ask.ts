import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isEventStream } from '../forward/event-stream.ts';
import { BodyCopy } from './body-copy.ts';
import { createByteBudget } from './byte-budget.ts';

/** A request as it is repeated, all of it in memory. */
export type RepeatedRequest = {
  method: string;
  target: string;
  headers: Readonly<Record<string, string | string[]>>;
  body: Buffer | null;
};

/** An answer that was asked for in order to compare it. */
export type AskedAnswer = {
  kind: 'answered';
  status: number;
  /** Names in lower case, in the order in which they came. */
  headers: [name: string, value: string][];
  /** The body, or its beginning where it is not whole. */
  body: Buffer;
  /** `too-large`: it was cut at the bound. `streamed`: it is a stream of events, of which nothing was read. */
  extent: 'whole' | 'too-large' | 'streamed';
  latencyMs: number;
};

export type AskFailure =
  | 'connect'
  | 'reset'
  | 'timeout'
  | 'bad-response'
  /** It was no longer wanted, and was not sent. */
  | 'called-off'
  /** The server does not say that it makes dry runs, so it was sent none. */
  | 'no-dry-run';
export type Asked =
  | AskedAnswer
  | {
      kind: 'failed';
      cause: AskFailure;
      /** The connection had carried a request before: a reset may mean no more than that it had been idle. */
      reused: boolean;
      latencyMs: number;
    };

export type AskBounds = {
  /** From the request to the last byte of its answer. */
  timeoutMs: number;
  maxAnswerBytes: number;
};

/** Asks and reads the whole answer, up to its bounds. Never rejects. */
export type Ask = (origin: string, request: RepeatedRequest, bounds: AskBounds) => Promise<Asked>;

export type Agents = { 'http:': http.Agent; 'https:': https.Agent };

/** Where a request stands; the caller may call it off as long as it was not sent. */
export type AskUnderWay = {
  answer: Promise<Asked>;
  /** True where nothing of it was sent, and nothing will be. */
  callOff(): boolean;
};

export const createAsk =
  (agents: Agents): Ask =>
  (origin, request, bounds) =>
    startAsking(agents, origin, request, bounds).answer;

/** The same, for whoever may have to call it off before it has a connection. */
export const startAsking = (
  agents: Agents,
  origin: string,
  { method, target, headers, body }: RepeatedRequest,
  { timeoutMs, maxAnswerBytes }: AskBounds,
): AskUnderWay => {
  const startedMs = performance.now();
  const settled = Promise.withResolvers<Asked>();
  let state: 'connecting' | 'sent' | 'over' = 'connecting';
  const fail = (cause: AskFailure): void => {
    state = 'over';
    clearTimeout(timer);
    settled.resolve({
      kind: 'failed',
      cause,
      reused: request?.reusedSocket === true,
      latencyMs: performance.now() - startedMs,
    });
    request?.destroy();
  };
  const timer = setTimeout(() => fail('timeout'), timeoutMs);
  timer.unref();

  let request: ClientRequest | null = null;
  try {
    const { protocol, hostname, port } = new URL(origin);
    const secure = protocol === 'https:';
    request = (secure ? https : http).request({
      agent: secure ? agents['https:'] : agents['http:'],
      host: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
      port: Number(port) || (secure ? 443 : 80),
      method,
      path: target,
      headers: headers as http.OutgoingHttpHeaders,
      setHost: false,
    });
  } catch {
    // Node refuses what a server took: nothing can be asked.
    fail('bad-response');
    return { answer: settled.promise, callOff: () => true };
  }
  const asked = request;
  asked.on('socket', () => {
    if (state !== 'connecting') return;
    state = 'sent';
    asked.end(body ?? undefined);
  });
  asked.on('error', (error: NodeJS.ErrnoException) => {
    if (state === 'over') return;
    fail(causeOf(error));
  });
  asked.on('upgrade', (_answer, socket) => {
    socket.destroy();
    if (state !== 'over') fail('bad-response');
  });
  asked.on('response', (answer) => {
    const latencyMs = performance.now() - startedMs;
    const head = { kind: 'answered' as const, status: answer.statusCode ?? 0, headers: headerLines(answer), latencyMs };
    readAnswer(answer, maxAnswerBytes, (outcome, bytes) => {
      if (state === 'over') return;
      if (outcome === 'broken') {
        fail('reset');
        return;
      }
      state = 'over';
      clearTimeout(timer);
      settled.resolve({ ...head, body: bytes, extent: outcome });
      if (outcome !== 'whole') asked.destroy();
    });
  });
  return {
    answer: settled.promise,
    callOff() {
      if (state !== 'connecting') return false;
      // Node gives the connection, once it is made, to the next request.
      fail('called-off');
      return true;
    },
  };
};

const headerLines = ({ rawHeaders }: IncomingMessage): [string, string][] => {
  const lines: [string, string][] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    lines.push([rawHeaders[at]!.toLowerCase(), rawHeaders[at + 1]!]);
  return lines;
};

/** So many answers as may be asked for at a time, each with its own bound, are bound enough. */
const unbounded = createByteBudget(Number.POSITIVE_INFINITY);

type ReadOutcome = 'whole' | 'too-large' | 'streamed' | 'broken';

const readAnswer = (
  answer: IncomingMessage,
  maxBytes: number,
  done: (outcome: ReadOutcome, bytes: Buffer) => void,
): void => {
  const copy = new BodyCopy(maxBytes, unbounded);
  if (isEventStream(answer.headers['content-type'])) {
    answer.on('error', () => {});
    done('streamed', Buffer.alloc(0));
    return;
  }
  answer.on('data', (chunk: Buffer) => {
    if (copy.add(chunk) === 'kept') return;
    answer.destroy();
    done('too-large', copy.bytes);
  });
  answer.on('end', () => done('whole', copy.bytes));
  answer.on('error', () => done('broken', Buffer.alloc(0)));
};

/** Of the error by which an agent says that a server makes no dry runs. */
export const noDryRunCode = 'NO_DRY_RUN';

const connectFailures = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT']);

const causeOf = ({ code }: NodeJS.ErrnoException): AskFailure => {
  if (code?.startsWith('HPE_')) return 'bad-response';
  if (code === noDryRunCode) return 'no-dry-run';
  return connectFailures.has(code ?? '') ? 'connect' : 'reset';
};
