import { fileURLToPath } from 'node:url';
import { GrpcError } from '@strangler/platform/grpc/errors.ts';
import { type RunningGrpcServer, startGrpcServer } from '@strangler/platform/grpc/server.ts';
import { isDatabaseAway } from '@strangler/platform/http/database-away.ts';
import { Problem } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import { callers } from '../callers.ts';
import { productFilter } from '../products/product-list.ts';
import type { ProductReader } from '../products/product-reader.ts';
import { productRepresentation } from '../products/product-representation.ts';
import { type ProductMessage, productMessage } from './product-message.ts';

export const catalogProtoPath = fileURLToPath(new URL('../proto/catalog/v1/catalog.proto', import.meta.url));
export const catalogPackageName = 'catalog.v1';

/** The most ids of one BatchGetProducts. */
export const MOST_IDS = 200;

/** Rows that StreamProducts reads at once; the next are read when the client has taken these. */
const STREAM_BATCH = 200;

type StreamRequest = {
  q: string;
  category: string;
  min_price_cents?: number;
  max_price_cents?: number;
  min_rating?: number;
};

/** Serves catalog.v1.Catalog: the same products as REST, for other services. */
export function startCatalogGrpc({
  host,
  port,
  reader,
  trust,
  log,
}: {
  host: string;
  port: number;
  reader: ProductReader;
  trust: Pick<ServiceTrust, 'grpcServer'>;
  log: Log;
}): Promise<RunningGrpcServer> {
  return startGrpcServer({
    host,
    port,
    log,
    protoPath: catalogProtoPath,
    packageName: catalogPackageName,
    ...trust.grpcServer(callers.grpc),
    implementations: {
      Catalog: {
        GetProduct: ({ id }: { id: number }) => asStatus(() => getProduct(reader, id)),
        BatchGetProducts: ({ ids }: { ids: number[] }) => asStatus(() => batchGetProducts(reader, ids)),
        StreamProducts: (request: StreamRequest, { signal }) => streamProducts(reader, request, signal),
      },
    },
  });
}

async function getProduct(reader: ProductReader, id: number): Promise<ProductMessage> {
  requireId('id', id);
  return productMessage(await reader.get(id));
}

async function batchGetProducts(reader: ProductReader, ids: number[]): Promise<object> {
  if (ids.length === 0 || ids.length > MOST_IDS) {
    throw new GrpcError('INVALID_ARGUMENT', `ids: expected 1 to ${MOST_IDS}, found ${ids.length}`);
  }
  for (const [at, id] of ids.entries()) requireId(`ids[${at}]`, id);
  const wanted = [...new Set(ids)];
  const rows = new Map((await reader.rows(wanted)).map((row) => [Number(row.id), row]));
  return {
    products: wanted.flatMap((id) => {
      const row = rows.get(id);
      return row ? [productMessage(productRepresentation(row))] : [];
    }),
    missing_ids: wanted.filter((id) => !rows.has(id)),
  };
}

async function* streamProducts(
  reader: ProductReader,
  request: StreamRequest,
  signal: AbortSignal,
): AsyncGenerator<ProductMessage> {
  const filter = await asStatus(async () =>
    productFilter({
      ...(request.q === '' ? {} : { q: request.q }),
      ...(request.category === '' ? {} : { category: request.category }),
      ...textOf(request, 'min_price_cents'),
      ...textOf(request, 'max_price_cents'),
      ...textOf(request, 'min_rating'),
    }),
  );
  const batches = reader.batches(filter, STREAM_BATCH);
  for (;;) {
    const { done, value: rows } = await asStatus(() => batches.next());
    if (done) return;
    for (const row of rows) {
      if (signal.aborted) return;
      yield productMessage(productRepresentation(row));
    }
  }
}

/** A number as REST has it in a query: the rules of both are then the same. */
function textOf<Name extends keyof StreamRequest>(request: StreamRequest, name: Name): Record<string, string> {
  const value = request[name];
  return value === undefined ? {} : { [name]: `${value}` };
}

function requireId(name: string, id: number): void {
  if (id < 1) throw new GrpcError('INVALID_ARGUMENT', `${name}: expected an integer of at least 1, found ${id}`);
}

/** Problems of the REST API, and a database that is away, as statuses. */
async function asStatus<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isDatabaseAway(error)) throw new GrpcError('UNAVAILABLE', 'the database cannot answer just now; try again');
    if (!(error instanceof Problem)) throw error;
    if (error.status === 404) throw new GrpcError('NOT_FOUND', error.detail ?? error.title);
    if (error.status !== 400) throw error;
    const faults = error.errors?.map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new GrpcError('INVALID_ARGUMENT', faults ?? error.detail ?? error.title);
  }
}
