import path from 'node:path';
import type {
  Server,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { loadProto, serviceOf } from './proto.ts';

export type ServingStatus = 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

/** grpc.health.v1 of one server. */
export type GrpcHealth = {
  /** `''` is the server as a whole. Watchers are told at once. */
  set(service: string, serving: ServingStatus): void;
  /** Ends the streams of those who watch, which would keep a draining server open. */
  endWatches(): void;
};

export const healthProtoPath = path.join(import.meta.dirname, 'health.proto');
export const healthPackageName = 'grpc.health.v1';

/** How many may watch at once; a prober needs one. */
const maxWatches = 100;

type Request = { service: string };
type Response = { status: ServingStatus };
type Watcher = { service: string; stream: ServerWritableStream<Request, Response> };

/** Adds the health service to a server; the server as a whole and the given services are SERVING. */
export function addHealth(server: Server, services: readonly string[]): GrpcHealth {
  const statuses = new Map<string, ServingStatus>(['', ...services].map((name) => [name, 'SERVING']));
  const watchers = new Set<Watcher>();

  const implementation = {
    Check(call: ServerUnaryCall<Request, Response>, answer: sendUnaryData<Response>) {
      const { service } = call.request;
      const found = statuses.get(service);
      if (found) answer(null, { status: found });
      else
        answer({
          code: status.NOT_FOUND,
          details: `expected one of ${[...statuses.keys()].join(', ')}; found ${service}`,
        });
    },
    List(_call: unknown, answer: sendUnaryData<{ statuses: Record<string, Response> }>) {
      const entries = [...statuses].map(([name, serving]) => [name, { status: serving }] as const);
      answer(null, { statuses: Object.fromEntries(entries) });
    },
    Watch(stream: ServerWritableStream<Request, Response>) {
      if (watchers.size >= maxWatches) {
        stream.emit('error', {
          code: status.RESOURCE_EXHAUSTED,
          details: `expected at most ${maxWatches} health watches`,
        });
        return;
      }
      const { service } = stream.request;
      const watcher: Watcher = { service, stream };
      watchers.add(watcher);
      for (const gone of ['cancelled', 'close', 'error']) stream.on(gone, () => watchers.delete(watcher));
      stream.write({ status: statuses.get(service) ?? 'SERVICE_UNKNOWN' });
    },
  };
  const { definition } = serviceOf(loadProto(healthProtoPath, healthPackageName), 'Health', healthProtoPath);
  server.addService(definition, implementation as unknown as UntypedServiceImplementation);

  return {
    set(service, serving) {
      if (statuses.get(service) === serving) return;
      statuses.set(service, serving);
      for (const watcher of watchers) if (watcher.service === service) watcher.stream.write({ status: serving });
    },
    endWatches() {
      for (const { stream } of watchers) stream.end();
      watchers.clear();
    },
  };
}
