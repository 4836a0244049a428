/** Forked by load.ts: sends requests of one kind at a time, as many at once as it is told, and says how they went. */
import { randomUUID } from 'node:crypto';
import { catalogPackageName, catalogProtoPath } from '@strangler/catalog/grpc/server.ts';
import { inventoryPackageName, inventoryProtoPath } from '@strangler/inventory/grpc/server.ts';
import { createGrpcClient, type GrpcClient } from '@strangler/platform/grpc/client.ts';
import { Pool } from 'undici';
import { answerQuestions } from '../pipe/worker.ts';
import type { Seen } from './figures.ts';
import type { LoadOrder, LoadTargets } from './load.ts';
import type { ContestantName, ServiceName } from './works.ts';

const targets = JSON.parse(process.argv[2] ?? '') as LoadTargets;
/** Longer than the run: what is reserved must not expire while something else is measured. */
const holdMs = 1_800_000;

const pools = new Map<ServiceName, Pool>();
const clients = new Map<ServiceName, GrpcClient>();

const poolOf = (service: ServiceName, connections: number): Pool => {
  const pool =
    pools.get(service) ?? new Pool(targets.services[service].url, { connections, keepAliveTimeout: 600_000 });
  pools.set(service, pool);
  return pool;
};
const clientOf = (service: ServiceName): GrpcClient => {
  const known = clients.get(service);
  if (known !== undefined) return known;
  const [protoPath, packageName, serviceName] =
    service === 'inventory'
      ? [inventoryProtoPath, inventoryPackageName, 'Inventory']
      : [catalogProtoPath, catalogPackageName, 'Catalog'];
  const address = targets.services[service].grpcAddress;
  const client = createGrpcClient({ address, protoPath, packageName, serviceName, deadlineMs: 30_000 });
  clients.set(service, client);
  return client;
};

let turn = 0;
const next = <T>(of: readonly T[]): T => {
  turn += 1;
  return of[turn % of.length]!;
};

type Send = () => Promise<unknown>;

/** One request of a kind: sent, answered, and read as whoever asks would read it. */
function sending({ name, atOnce, token }: LoadOrder): Send {
  const { productIds, pages, stockIds } = targets;
  const rest =
    (service: ServiceName, path: () => string): Send =>
    async () => {
      const { statusCode, body } = await poolOf(service, atOnce).request({ method: 'GET', path: path() });
      const answer = await body.json();
      if (statusCode !== 200) throw new Error(`${statusCode}: ${JSON.stringify(answer)}`);
      return answer;
    };
  const reserve = async (): Promise<string> => {
    const id = randomUUID();
    const lines = [{ product_id: next(stockIds), quantity: 1 }];
    const request = { reservation_id: id, lines, ttl_ms: holdMs, cause: {} };
    const { outcome } = await clientOf('inventory').call<{ outcome: string }>('Reserve', request);
    if (outcome !== 'RESERVED') throw new Error(`Reserve: ${outcome}`);
    return id;
  };
  const product = () => `/api/products/${next(productIds)}`;
  const kinds: Record<ContestantName, Send> = {
    'product-rest': rest('catalog', product),
    'product-rest-cached': rest('catalogCached', product),
    'product-grpc': () => clientOf('catalog').call('GetProduct', { id: next(productIds) }),
    'product-grpc-cached': () => clientOf('catalogCached').call('GetProduct', { id: next(productIds) }),
    'page-rest': rest('catalog', () => next(pages).path),
    'page-rest-cached': rest('catalogCached', () => next(pages).path),
    'page-grpc': () => clientOf('catalog').call('BatchGetProducts', { ids: next(pages).ids }),
    'stock-rest': rest('inventory', () => `/api/inventory/${next(stockIds)}`),
    'stock-grpc': () => clientOf('inventory').call('GetStock', { ids: [next(stockIds)] }),
    'take-rest': async () => {
      const { statusCode, body } = await poolOf('inventory', atOnce).request({
        method: 'POST',
        path: `/api/inventory/${next(stockIds)}/adjustments`,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ delta: -1, reason: 'taken' }),
      });
      const answer = await body.json();
      if (statusCode !== 201) throw new Error(`${statusCode}: ${JSON.stringify(answer)}`);
    },
    'take-grpc': reserve,
    'sell-grpc': async () => {
      const { outcome } = await clientOf('inventory').call<{ outcome: string }>('Confirm', {
        reservation_id: await reserve(),
      });
      if (outcome !== 'CONFIRMED') throw new Error(`Confirm: ${outcome}`);
    },
  };
  return kinds[name];
}

async function load(order: LoadOrder): Promise<Seen & { firstFailure: string | null }> {
  const send = sending(order);
  const durationsMs: number[] = [];
  let failed = 0;
  let firstFailure: string | null = null;
  const beganMs = performance.now();
  const untilMs = beganMs + order.seconds * 1000;
  const sendOn = async (): Promise<void> => {
    for (let now = beganMs; now < untilMs; now = performance.now()) {
      const sentMs = performance.now();
      try {
        await send();
        durationsMs.push(performance.now() - sentMs);
      } catch (error) {
        failed += 1;
        firstFailure ??= (error as Error).message;
      }
    }
  };
  await Promise.all(Array.from({ length: order.atOnce }, sendOn));
  return { durationsMs, failed, elapsedMs: performance.now() - beganMs, firstFailure };
}

answerQuestions(load, async () => {
  for (const client of clients.values()) client.close();
  await Promise.all([...pools.values()].map((pool) => pool.close()));
});
