import type { PeerCertificate } from 'node:tls';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { pause } from '../backoff.ts';
import { contextFromHeaders, runInRequest } from '../http/request-context.ts';
import type { Log } from '../log.ts';
import { spanOf } from '../tracing/span.ts';
import { GrpcError } from './errors.ts';
import { addHealth, type GrpcHealth } from './health.ts';
import { loadProto, type ProtoPackage, serviceOf } from './proto.ts';

/** What an implementation is told of its call. `currentRequest()` works in it too. */
export type GrpcCallContext = {
  method: string;
  metadata: Metadata;
  /** The service that calls, where `admit` knows. */
  caller: string | undefined;
  /** When the client stops waiting. */
  deadline: Date;
  /** Aborted when the client has gone or its deadline is over. */
  signal: AbortSignal;
};

// Messages have the types that the .proto file says; each implementation names its own.
// biome-ignore lint/suspicious/noExplicitAny: a map of functions over different messages
export type GrpcMethod = (request: any, call: GrpcCallContext) => Promise<object> | AsyncIterable<object>;
/** By service name, then by method name as in the .proto file: an async function, or an async generator for a stream. */
export type GrpcImplementations = Record<string, Record<string, GrpcMethod>>;

/** A call as it came; the certificate is there where TLS has found it good. */
export type GrpcArrival = { method: string; metadata: Metadata; peerCertificate: PeerCertificate | undefined };
/** Who calls; throws a GrpcError for a call that is not served. */
export type GrpcAdmit = (arrival: GrpcArrival) => Promise<string | undefined>;

export type GrpcServerOptions = {
  host: string;
  /** 0 for any. */
  port: number;
  protoPath: string;
  packageName: string;
  implementations: GrpcImplementations;
  log: Log;
  /** Asked before every call, but not for health checks. Everybody is served unless told. */
  admit?: GrpcAdmit;
  /** Without TLS unless told. */
  credentials?: ServerCredentials;
  /** How long a connection lasts before its client is asked to make another one, without end unless told. */
  mostConnectionAgeMs?: number;
  /** How long calls may take to end when draining, 10 000 ms unless told. */
  drainGraceMs?: number;
  /** Whether a call without a deadline is refused, `refuse` unless told; health checks never are. */
  withoutDeadline?: 'refuse' | 'allow';
  /** Calls served at once, 1000 unless told; one more is RESOURCE_EXHAUSTED. */
  maxInFlight?: number;
};

export type RunningGrpcServer = {
  host: string;
  port: number;
  /** `host:port`, for `createGrpcClient`. */
  address: string;
  health: GrpcHealth;
  inFlight(): number;
  /** NOT_SERVING, no new connections, waits for the calls under way; what is not done by then is cut. May be called again. */
  drain(graceMs?: number): Promise<'drained' | 'cut'>;
};

const healthMethods = '/grpc.health.v1.Health/';

/** Serves unary and server-streaming methods, and grpc.health.v1. Throws when a method has no implementation. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<RunningGrpcServer> {
  const { host, port, protoPath, packageName, implementations, log, drainGraceMs = 10_000 } = options;
  const { withoutDeadline = 'refuse', maxInFlight = 1000, mostConnectionAgeMs } = options;
  const gate = { inFlight: 0, maxInFlight };
  const guard: Guard = { gate, admit: options.admit, log };
  const server = new Server({
    ...(withoutDeadline === 'refuse' ? { interceptors: [refuseWithoutDeadline] } : {}),
    'grpc.max_receive_message_length': 4 * 1024 * 1024,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    ...(mostConnectionAgeMs === undefined ? {} : { 'grpc.max_connection_age_ms': mostConnectionAgeMs }),
  });
  const proto = loadProto(protoPath, packageName);
  for (const [name, methods] of Object.entries(implementations)) {
    addService(server, proto, { name, protoPath, methods }, guard);
  }
  const health = addHealth(
    server,
    Object.keys(implementations).map((name) => `${packageName}.${name}`),
  );
  const bound = await bind(server, host, port, options.credentials ?? ServerCredentials.createInsecure());
  let draining: Promise<'drained' | 'cut'> | undefined;

  async function drainNow(graceMs: number): Promise<'drained' | 'cut'> {
    health.set('', 'NOT_SERVING');
    for (const name of Object.keys(implementations)) health.set(`${packageName}.${name}`, 'NOT_SERVING');
    health.endWatches();
    const closed = new AbortController();
    const shutDown = new Promise<'drained'>((resolve) => server.tryShutdown(() => resolve('drained')));
    const outcome = await Promise.race([shutDown, pause(graceMs, closed.signal)]).finally(() => closed.abort());
    if (outcome === 'drained') return 'drained';
    log.warn({ inFlight: gate.inFlight, graceMs }, 'gRPC calls cut at the end of the grace time');
    server.forceShutdown();
    return 'cut';
  }

  return {
    host,
    port: bound,
    address: `${host.includes(':') ? `[${host}]` : host}:${bound}`,
    health,
    inFlight: () => gate.inFlight,
    drain: (graceMs = drainGraceMs) => {
      draining ??= drainNow(graceMs);
      return draining;
    },
  };
}

function bind(server: Server, host: string, port: number, credentials: ServerCredentials): Promise<number> {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error)
        reject(new Error(`gRPC server: expected to listen on ${address}, found ${error.message}`, { cause: error }));
      else resolve(bound);
    });
  });
}

/** A call that nobody will ever stop waiting for is a leak in the making. */
const refuseWithoutDeadline: ServerInterceptor = (method, call) => {
  const endless = call.getDeadline() === Number.POSITIVE_INFINITY;
  if (!endless || method.path.startsWith(healthMethods)) return new ServerInterceptingCall(call);
  return new ServerInterceptingCall(call, {
    start(next) {
      next({
        onReceiveMetadata() {
          call.sendStatus({
            code: status.INVALID_ARGUMENT,
            details: `${method.path}: expected a deadline, found none; set one on the call`,
          });
        },
        onReceiveMessage() {},
        onReceiveHalfClose() {},
        onCancel() {},
      });
    },
  });
};

type Gate = { inFlight: number; readonly maxInFlight: number };
type Guard = { gate: Gate; admit: GrpcAdmit | undefined; log: Log };
type ServiceParts = { name: string; protoPath: string; methods: Record<string, GrpcMethod> };

function addService(server: Server, proto: ProtoPackage, parts: ServiceParts, guard: Guard): void {
  const { name, protoPath, methods } = parts;
  const { definition } = serviceOf(proto, name, protoPath);
  const unknown = new Set(Object.keys(methods));
  const handlers: UntypedServiceImplementation = {};
  for (const [key, method] of Object.entries(definition)) {
    const methodName = method.originalName && methods[method.originalName] ? method.originalName : key;
    const implementation = methods[methodName];
    if (!implementation) throw new Error(`${name}.${key}: expected an implementation, found none`);
    if (method.requestStream)
      throw new Error(`${name}.${key}: expected a single request, found a stream of them, which is not served`);
    unknown.delete(methodName);
    handlers[key] = method.responseStream
      ? stream(method, implementation, guard)
      : unary(method, implementation, guard);
  }
  if (unknown.size > 0)
    throw new Error(`${protoPath}: expected methods ${[...unknown].join(', ')} in ${name}, found none of that name`);
  server.addService(definition, handlers);
}

type Method = MethodDefinition<object, object>;

function unary(method: Method, implementation: GrpcMethod, guard: Guard): handleUnaryCall<object, object> {
  return (call, answer) => {
    void inCall(call, method, guard, async (context) => {
      answer(null, await (implementation(call.request, context) as Promise<object>));
    }).then((failure) => failure && answer(failure));
  };
}

function stream(method: Method, implementation: GrpcMethod, guard: Guard): handleServerStreamingCall<object, object> {
  return (call) => {
    void inCall(call, method, guard, async (context) => {
      for await (const message of implementation(call.request, context) as AsyncIterable<object>) {
        if (context.signal.aborted) return;
        if (!call.write(message)) await drained(call, context.signal);
      }
      call.end();
    }).then((failure) => failure && call.emit('error', failure));
  };
}

type Failure = { code: status; details: string; metadata?: Metadata };

/** Runs a call as part of its request; what it throws becomes a status, and only a `GrpcError` shows its message. */
async function inCall(
  call: ServerUnaryCall<object, object> | ServerWritableStream<object, object>,
  method: Method,
  guard: Guard,
  serve: (context: GrpcCallContext) => Promise<void>,
): Promise<Failure | undefined> {
  const { gate } = guard;
  if (gate.inFlight >= gate.maxInFlight) {
    return { code: status.RESOURCE_EXHAUSTED, details: `${gate.maxInFlight} calls are under way; try again later` };
  }
  gate.inFlight += 1;
  const { metadata } = call;
  const request = contextFromHeaders(
    Object.fromEntries(
      ['x-request-id', 'traceparent', 'tracestate'].map((name) => [name, metadata.get(name)[0]?.toString()]),
    ),
  );
  const [service = '', name = ''] = method.path.slice(1).split('/');
  const span = spanOf(request, {
    name: method.path.slice(1),
    kind: 'server',
    attributes: { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': name },
  });
  try {
    const failure = await runInRequest(request, async () => {
      const found = await served(call, method, guard, serve);
      guard.log.debug({ method: method.path, code: status[found?.code ?? status.OK] }, 'gRPC call');
      return found;
    });
    const code = failure?.code ?? status.OK;
    span?.end(isFault(code) ? status[code] : undefined, { 'rpc.grpc.status_code': code });
    return failure;
  } finally {
    gate.inFlight -= 1;
  }
}

/** The others tell a client of what it asked for. */
const isFault = (code: status): boolean =>
  [status.UNKNOWN, status.DEADLINE_EXCEEDED, status.INTERNAL, status.UNAVAILABLE, status.DATA_LOSS].includes(code);

async function served(
  call: ServerUnaryCall<object, object> | ServerWritableStream<object, object>,
  method: Method,
  { admit, log }: Guard,
  serve: (context: GrpcCallContext) => Promise<void>,
): Promise<Failure | undefined> {
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort(new GrpcError('CANCELLED', 'the client has gone, or its deadline is over')));
  const { metadata } = call;
  try {
    const peerCertificate = call.getAuthContext().sslPeerCertificate;
    const caller = await admit?.({ method: method.path, metadata, peerCertificate });
    await serve({
      method: method.path,
      metadata,
      caller,
      deadline: new Date(call.getDeadline()),
      signal: gone.signal,
    });
    return undefined;
  } catch (error) {
    if (error instanceof GrpcError) {
      return { code: error.code, details: error.message, ...(error.metadata ? { metadata: error.metadata } : {}) };
    }
    if (gone.signal.aborted) return { code: status.CANCELLED, details: 'the client has gone, or its deadline is over' };
    log.error({ err: error, method: method.path }, 'a gRPC call failed');
    return { code: status.INTERNAL, details: 'internal error' };
  }
}

function drained(call: ServerWritableStream<object, object>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}
