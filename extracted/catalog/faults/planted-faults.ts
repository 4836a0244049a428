import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Pool, PoolConnection } from 'mysql2/promise';
import type { FaultHooks, FaultyAnswer, FaultyRequest, FaultyStatement } from './fault.ts';
import { faults } from './faults.ts';

/** A service that is wrong on purpose, in one way at a time, so that tests can tell whether anybody would see it. */
export type PlantedFaults = {
  /** Plants a fault in place of the one before; null: none. Throws for one that there is not. */
  plant(name: string | null): void;
  handler(app: RequestListener): RequestListener;
  pool(pool: Pool): Pool;
};

/** PUT it `{"fault": "…"}` or `{"fault": null}`; GET it the names of all. */
export const plantedFaultPath = '/test/planted-fault';

const mostBodyBytes = 200 * 1024;

export function createPlantedFaults(first: string | null): PlantedFaults {
  let hooks: FaultHooks = {};

  const plant: PlantedFaults['plant'] = (name) => {
    const fault = name === null ? undefined : faults[name];
    if (name !== null && fault === undefined) {
      throw new Error(`planted fault: expected one of ${Object.keys(faults).join(', ')}, found ${name}`);
    }
    hooks = fault?.plant() ?? {};
  };
  plant(first);

  const run = async (
    query: (sql: unknown, values?: unknown) => Promise<unknown>,
    [sql, values]: [sql: unknown, values?: unknown],
  ): Promise<unknown> => {
    if (hooks.statement === undefined || typeof sql !== 'string') return query(sql, values);
    let result: unknown;
    const given = { sql, values: Array.isArray(values) ? [...values] : [] } satisfies FaultyStatement;
    for (const statement of hooks.statement(given)) result = await query(statement.sql, statement.values);
    return result;
  };

  const faultyConnection = (connection: PoolConnection): PoolConnection =>
    new Proxy(connection, { get: (target, name) => faultyMember(target, name, run) });

  return {
    plant,
    pool: (pool) =>
      new Proxy(pool, {
        get(target, name) {
          if (name === 'getConnection') return async () => faultyConnection(await target.getConnection());
          return faultyMember(target, name, run);
        },
      }),
    handler: (app) => async (request, response) => {
      if (request.url === plantedFaultPath) {
        await control(request, response, plant);
        return;
      }
      const { request: onRequest, answer: onAnswer, delayMs } = hooks;
      const faulty: FaultyRequest = {
        method: request.method ?? 'GET',
        url: request.url ?? '/',
        headers: request.headers,
        body: undefined,
      };
      if (onRequest) {
        await changeBody(request, faulty, onRequest);
        request.url = faulty.url;
      }
      const waitMs = delayMs?.(faulty) ?? 0;
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (onAnswer) changeAnswer(response, (answer) => onAnswer(answer, faulty));
      app(request, response);
    },
  };
}

function faultyMember(
  target: Pool | PoolConnection,
  name: string | symbol,
  run: (
    query: (sql: unknown, values?: unknown) => Promise<unknown>,
    args: [sql: unknown, values?: unknown],
  ) => Promise<unknown>,
): unknown {
  const value = Reflect.get(target, name) as unknown;
  if (typeof value !== 'function') return value;
  const bound = value.bind(target) as (sql: unknown, values?: unknown) => Promise<unknown>;
  if (name !== 'query' && name !== 'execute') return bound;
  return (...args: [sql: unknown, values?: unknown]) => run(bound, args);
}

/** Lets a fault change a request, its JSON body included: it is taken out of the stream and put back at once. */
async function changeBody(
  request: IncomingMessage,
  faulty: FaultyRequest,
  change: (request: FaultyRequest) => void,
): Promise<void> {
  const length = Number(request.headers['content-length'] ?? 0);
  if (!/json/.test(request.headers['content-type'] ?? '') || length === 0 || length > mostBodyBytes) {
    change(faulty);
    return;
  }
  while (request.readableLength < length && !request.destroyed) await once(request, 'readable');
  const bytes = request.read(length) as Buffer;
  let put = bytes;
  try {
    faulty.body = JSON.parse(bytes.toString('utf8'));
  } catch {
    // What is no JSON stays as it is.
  }
  change(faulty);
  if (faulty.body !== undefined) put = Buffer.from(JSON.stringify(faulty.body));
  request.headers['content-length'] = `${put.length}`;
  request.unshift(put);
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Lets an answer be written into memory, changes it and sends it. Answers here are never streams. */
function changeAnswer(response: ServerResponse, change: (answer: FaultyAnswer) => void): void {
  const chunks: Buffer[] = [];
  const keep = (chunk: unknown): void => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
  };
  const { end } = response;
  response.write = ((chunk: unknown) => {
    keep(chunk);
    return true;
  }) as typeof response.write;
  response.end = ((chunk?: unknown) => {
    keep(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const headers = { ...response.getHeaders() } as FaultyAnswer['headers'];
    const answer: FaultyAnswer = { status: response.statusCode, headers, text };
    change(answer);
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value as string);
    if (response.hasHeader('content-length')) response.setHeader('content-length', Buffer.byteLength(answer.text));
    response.statusCode = answer.status;
    response.end = end;
    return response.end(answer.text);
  }) as typeof response.end;
}

async function control(
  request: IncomingMessage,
  response: ServerResponse,
  plant: PlantedFaults['plant'],
): Promise<void> {
  response.setHeader('content-type', 'application/json');
  if (request.method !== 'PUT') {
    response.end(JSON.stringify({ faults: Object.keys(faults) }));
    return;
  }
  try {
    const { fault } = JSON.parse((await readAll(request)).toString('utf8')) as { fault: string | null };
    plant(fault);
    response.end(JSON.stringify({ fault }));
  } catch (error) {
    response.statusCode = 400;
    response.end(JSON.stringify({ title: (error as Error).message }));
  }
}
