import { operatorTokenHeader, reasonHeader, sideHeader } from '@strangler/platform/contracts/headers.ts';
import { Agent, type Dispatcher, request } from 'undici';

/** What one request of a visitor came to. */
export type Visit = {
  shopper: string;
  action: string;
  access: 'read' | 'write';
  /** Whether the route belongs to the slice under demonstration, as the proxy's answer says. */
  side: 'monolith' | 'service' | null;
  reason: string | null;
  status: number | null;
  /** Why it counts as failed; null where it went well. */
  failure: string | null;
  /** It was sent, and the connection ended before an answer came: nobody knows what became of it. */
  cutOff: boolean;
  startedAtMs: number;
  durationMs: number;
};

/** One request. */
export type Action = {
  name: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  body?: object;
  headers?: Record<string, string>;
  /** Statuses that are answers of the shop, and not failures of the system. */
  fine: readonly number[];
  /** Told of an answer that was fine; `body` is its JSON, or undefined where it has none. */
  onAnswer?: (status: number, body: unknown) => void;
  /** Told of every end, fine or not, once. */
  onEnd?: (ending: VisitEnding) => void;
};

/** What came of a request: an answer, read whole, or the code of what kept it from coming. */
export type VisitEnding =
  | { kind: 'answer'; status: number; headers: Readonly<Record<string, string | string[] | undefined>>; body: unknown }
  | { kind: 'no answer'; code: string; message: string };

/** Somebody whom the crowd sends to the shop, one request at a time. */
export type Visitor = { name: string; visit(): Promise<Visit> };

export type VisitorOptions = {
  name: string;
  /** Every proxy, asked in turn, as a load balancer would. */
  proxyUrls: readonly string[];
  /** Null for one who never logs in and is known by the proxy's cookie. */
  accessToken: string | null;
  operatorToken: string;
  dispatcher: Dispatcher;
  /** What is done next. */
  nextAction: () => Action;
};

const answerWithinMs = 30_000;

/** There was no connection. */
const neverSent = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT']);
/** There was one, and it ended. */
const wasCutOff = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

export const createVisitor = (options: VisitorOptions): Visitor => {
  const { name, proxyUrls, accessToken, operatorToken, dispatcher, nextAction } = options;
  const cookies = new Map<string, string>();
  let turns = 0;

  /** As a load balancer does: whoever is not there is passed over, and a read that was cut off is asked of the next one. */
  const sentTo = async <T>(send: (proxyUrl: string) => Promise<T>, access: Visit['access']): Promise<T> => {
    // Its own: a visitor may have several requests under way, and they would skip each other's turns.
    const first = turns;
    turns += 1;
    for (let tries = 1; ; tries += 1) {
      try {
        return await send(proxyUrls[(first + tries) % proxyUrls.length]!);
      } catch (error) {
        const { code = '' } = error as { code?: string };
        const mayGoElsewhere = neverSent.has(code) || (access === 'read' && wasCutOff.has(code));
        if (!mayGoElsewhere || tries >= proxyUrls.length) throw error;
      }
    }
  };

  const visit = async (): Promise<Visit> => {
    const action = nextAction();
    const startedAt = performance.now();
    const seen: Visit = {
      shopper: name,
      action: action.name,
      access: action.method === 'GET' ? 'read' : 'write',
      side: null,
      reason: null,
      status: null,
      failure: null,
      cutOff: false,
      startedAtMs: performance.timeOrigin + startedAt,
      durationMs: 0,
    };
    try {
      const answer = await sentTo(
        (proxyUrl) =>
          request(`${proxyUrl}${action.path}`, {
            dispatcher,
            method: action.method,
            headersTimeout: answerWithinMs,
            bodyTimeout: answerWithinMs,
            headers: {
              [operatorTokenHeader]: operatorToken,
              ...(accessToken === null ? {} : { authorization: `Bearer ${accessToken}` }),
              ...(cookies.size === 0 ? {} : { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') }),
              ...(action.body === undefined ? {} : { 'content-type': 'application/json' }),
              ...action.headers,
            },
            ...(action.body === undefined ? {} : { body: JSON.stringify(action.body) }),
          }),
        seen.access,
      );
      const text = await answer.body.text();
      seen.status = answer.statusCode;
      seen.side = oneOf(answer.headers[sideHeader]);
      seen.reason = (answer.headers[reasonHeader] as string | undefined) ?? null;
      keepCookies(cookies, answer.headers['set-cookie']);
      const body = parsed(text);
      action.onEnd?.({ kind: 'answer', status: answer.statusCode, headers: answer.headers, body });
      if (!action.fine.includes(answer.statusCode)) seen.failure = `status ${answer.statusCode}: ${text.slice(0, 200)}`;
      else if (body === undefined && answer.statusCode !== 204) seen.failure = `not JSON: ${text.slice(0, 100)}`;
      else action.onAnswer?.(answer.statusCode, body);
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      seen.failure = `${code ?? 'error'}: ${message}`;
      seen.cutOff = wasCutOff.has(code ?? '');
      if (seen.status === null) action.onEnd?.({ kind: 'no answer', code: code ?? 'error', message });
    }
    seen.durationMs = performance.now() - startedAt;
    return seen;
  };
  return { name, visit };
};

/** Connections that visitors share; a browser's pool in front of each proxy. */
export const visitorConnections = (): Agent => new Agent({ connections: 64, keepAliveTimeout: 10_000 });

const oneOf = (value: string | string[] | undefined): Visit['side'] =>
  value === 'monolith' || value === 'service' ? value : null;

/** Those that the proxy sets, to know the visitor again and what was written last. */
const keepCookies = (cookies: Map<string, string>, header: string | string[] | undefined): void => {
  for (const cookie of header === undefined ? [] : [header].flat()) {
    const [, name, value] = /^(strangler_[^=]+)=([^;]*)/.exec(cookie) ?? [];
    if (name !== undefined && value !== undefined) cookies.set(name, value);
  }
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
