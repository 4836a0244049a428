import type { HttpInstances } from '@strangler/platform/http/instances.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { beginCall } from '@strangler/platform/http/traced-fetch.ts';
import { Counter, type Registry } from 'prom-client';

export type CatalogueRequest = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With the query. */
  path: string;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
};

export type CatalogueAnswer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
};

/** Speaks HTTP with an instance of the catalogue service. */
export type CatalogueClient = {
  /**
   * The answer, whatever its status. A request that cannot have been received is sent to the next instance; a read also
   * where its answer did not come. Throws CatalogueAway or CatalogueOutcomeUnknown.
   */
  send(request: CatalogueRequest): Promise<CatalogueAnswer>;
  close(): Promise<void>;
};

/** No instance could be reached, and nothing was done: 503. */
export class CatalogueAway extends Problem {
  constructor(cause: unknown) {
    const detail = 'The catalogue cannot be reached just now; try again.';
    super({ status: 503, detail, headers: { 'retry-after': '1' }, cause });
    this.name = 'CatalogueAway';
  }
}

/** The answer to a write did not come: it may have been done. 502, without Retry-After: to repeat it may be to do it twice. */
export class CatalogueOutcomeUnknown extends Problem {
  constructor(cause: unknown) {
    const detail = 'The catalogue did not answer: the change may have been made. Read before you repeat it.';
    super({ status: 502, detail, cause });
    this.name = 'CatalogueOutcomeUnknown';
  }
}

/** Longer than the service lets a write wait before its fence. */
const ANSWER_TIMEOUT_MS = 15_000;
const CONNECT_TIMEOUT_MS = 1_000;
const MOST_ANSWER_BYTES = 16 * 1024 * 1024;

const notSentCodes = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export function createCatalogueClient({
  instances,
  trustHeaders,
  metrics,
}: {
  instances: HttpInstances;
  /** By which the service knows who calls. */
  trustHeaders: () => Promise<Record<string, string>>;
  metrics: Registry;
}): CatalogueClient {
  const timeouts = {
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
    maxResponseSize: MOST_ANSWER_BYTES,
  };
  // A hundred modules, which a shop without this service does not load.
  const opened = import('undici').then(({ Agent, request }) => ({
    request,
    reads: new Agent({ ...timeouts, connections: 32 }),
    // A connection for each write: one that is closed by the other side just as it is used again leaves the outcome unknown.
    writes: new Agent({ ...timeouts, pipelining: 0 }),
  }));
  const calls = new Counter({
    name: 'shop_catalogue_service_calls_total',
    help: 'Requests sent to the catalogue service, by what became of them',
    labelNames: ['method', 'outcome'],
    registers: [metrics],
  });

  const once = async (origin: string, { method, path, headers = {}, body }: CatalogueRequest) => {
    const { request, reads, writes } = await opened;
    const call = beginCall({ peer: 'catalog', route: templateOf(path) }, method);
    const answer = await request(`${origin}${path}`, {
      method,
      headers: {
        accept: 'application/json',
        ...call.headers,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
        ...(await trustHeaders()),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      dispatcher: method === 'GET' ? reads : writes,
    }).catch((error: unknown) => {
      call.failed(error);
      throw error;
    });
    call.answered(answer.statusCode);
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
  };

  return {
    async send(wanted) {
      const { method } = wanted;
      let away: unknown;
      for (const origin of await instances.inTurn()) {
        try {
          const answer = await once(origin, wanted);
          calls.inc({ method, outcome: `${Math.floor(answer.status / 100)}xx` });
          return answer;
        } catch (error) {
          const unsent = notSentCodes.has(String((error as NodeJS.ErrnoException).code));
          calls.inc({ method, outcome: unsent ? 'unreachable' : 'unanswered' });
          if (!unsent && method !== 'GET') throw new CatalogueOutcomeUnknown(error);
          away = error;
        }
      }
      throw new CatalogueAway(away ?? new Error('no instance of the catalogue service is known'));
    },
    close: async () => {
      const { reads, writes } = await opened;
      await Promise.all([reads.close(), writes.close()]);
    },
  };
}

/** What a 2xx answer says; every other becomes the problem that it tells of. */
export function textOf(answer: CatalogueAnswer): string {
  if (answer.status >= 200 && answer.status < 300) return answer.text;
  throw problemOf(answer);
}

function problemOf({ status, headers, text }: CatalogueAnswer): Problem {
  const told = parseObject(text);
  if (status < 400 || typeof told?.title !== 'string') {
    return new Problem({ status: 502, detail: `The catalogue answered ${status}, which was not expected.` });
  }
  const { type, title, detail, errors, status: _status, ...extensions } = told;
  const kept = ['retry-after', 'www-authenticate'].flatMap((name) => {
    const value = headers[name];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  return new Problem({
    status,
    title,
    ...(typeof type === 'string' ? { type } : {}),
    ...(typeof detail === 'string' ? { detail } : {}),
    ...(Array.isArray(errors) ? { errors } : {}),
    headers: Object.fromEntries(kept),
    extensions,
  });
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** `/api/products/7?fields=name` is `/api/products/:id`: what is recorded names no single thing. */
function templateOf(path: string): string {
  return path.split('?', 1)[0]?.replace(/\/\d+(?=\/|$)/g, '/:id') ?? path;
}

/** What there is no service for: neither CATALOG_URL nor Consul say where it is. */
export const noCatalogueClient: CatalogueClient = {
  send: async () => {
    throw problems.unavailable(
      1,
      'The flags give this to the catalogue service, and neither CATALOG_URL nor CONSUL_URL says where that is.',
    );
  },
  close: async () => {},
};
