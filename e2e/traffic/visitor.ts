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
};

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

const answerWithinMs = 10_000;

export const createVisitor = (options: VisitorOptions): Visitor => {
  const { name, proxyUrls, accessToken, operatorToken, dispatcher, nextAction } = options;
  let cookie: string | null = null;
  let turns = 0;

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
      startedAtMs: performance.timeOrigin + startedAt,
      durationMs: 0,
    };
    turns += 1;
    try {
      const answer = await request(`${proxyUrls[turns % proxyUrls.length]}${action.path}`, {
        dispatcher,
        method: action.method,
        headersTimeout: answerWithinMs,
        bodyTimeout: answerWithinMs,
        headers: {
          [operatorTokenHeader]: operatorToken,
          ...(accessToken === null ? {} : { authorization: `Bearer ${accessToken}` }),
          ...(cookie === null ? {} : { cookie }),
          ...(action.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...action.headers,
        },
        ...(action.body === undefined ? {} : { body: JSON.stringify(action.body) }),
      });
      const text = await answer.body.text();
      seen.status = answer.statusCode;
      seen.side = oneOf(answer.headers[sideHeader]);
      seen.reason = (answer.headers[reasonHeader] as string | undefined) ?? null;
      cookie = stickyCookieOf(answer.headers['set-cookie']) ?? cookie;
      const body = parsed(text);
      if (!action.fine.includes(answer.statusCode)) seen.failure = `status ${answer.statusCode}: ${text.slice(0, 200)}`;
      else if (body === undefined && answer.statusCode !== 204) seen.failure = `not JSON: ${text.slice(0, 100)}`;
      else action.onAnswer?.(answer.statusCode, body);
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      seen.failure = `${code ?? 'error'}: ${message}`;
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

const stickyCookieOf = (header: string | string[] | undefined): string | null => {
  const cookies = header === undefined ? [] : [header].flat();
  return cookies.find((one) => one.startsWith('strangler_sid='))?.split(';')[0] ?? null;
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
