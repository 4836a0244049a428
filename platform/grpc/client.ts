import {
  type ChannelCredentials,
  type Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type Backoff, nextBackoffMs, pause } from '../backoff.ts';
import { serviceTokenHeader } from '../contracts/headers.ts';
import { currentRequest, type RequestContext } from '../http/request-context.ts';
import { childSpan, faultName, type OpenSpan } from '../tracing/span.ts';
import { GrpcCallError } from './errors.ts';
import { loadProto, serviceOf } from './proto.ts';

export type GrpcCallOptions = {
  /** For this call, tries and pauses included. */
  deadlineMs?: number;
  /** Whether the call may be sent again when it is UNAVAILABLE: it may have been received before. No, unless told. */
  idempotent?: boolean;
  signal?: AbortSignal;
  /** Sent with the call, beside the request's id and trace. */
  metadata?: Record<string, string>;
};

export type GrpcClient = {
  readonly address: string;
  /** Calls a unary method, named as in the .proto file. Throws `GrpcCallError`, or the signal's reason. */
  call<Response extends object>(method: string, request: object, options?: GrpcCallOptions): Promise<Response>;
  /** Calls a server-streaming method; leaving the loop ends the call. Throws as `call` does; never sent again. */
  stream<Response extends object>(method: string, request: object, options?: GrpcCallOptions): AsyncIterable<Response>;
  close(): void;
};

/** How a client shows who it is, and knows whom it speaks with. Nothing of it unless told. */
export type GrpcClientTrust = {
  /** Gives the token that goes with each call. */
  token?: () => Promise<string>;
  credentials?: ChannelCredentials;
};

export type GrpcClientOptions = {
  /** `host:port`. */
  address: string;
  protoPath: string;
  packageName: string;
  serviceName: string;
  /** The bound of every call that names no other. */
  deadlineMs: number;
  /** How often an idempotent call is sent again at most, 2 unless told. */
  retries?: number;
  trust?: GrpcClientTrust;
  /** Called before each further try; count them here. */
  onRetry?(method: string, attempt: number): void;
};

const backoff: Backoff = { baseMs: 25, capMs: 500 };

/** A client of one service at one address; connects when first used, and again by itself. */
export function createGrpcClient(options: GrpcClientOptions): GrpcClient {
  const { address, protoPath, packageName, serviceName, deadlineMs, retries = 2, onRetry, trust = {} } = options;
  const service = serviceOf(loadProto(protoPath, packageName), serviceName, protoPath);
  const client: Client = new service.client(address, trust.credentials ?? credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5000,
    'grpc.max_receive_message_length': 4 * 1024 * 1024,
  });

  function definitionOf(method: string, kind: 'unary' | 'stream') {
    const definition = service.definition[method];
    const found = !definition
      ? 'none'
      : definition.requestStream
        ? 'client stream'
        : definition.responseStream
          ? 'stream'
          : 'unary';
    if (!definition || found !== kind) {
      throw new TypeError(
        `${protoPath}: expected a ${kind} method ${method} in ${serviceName}, found ${found === 'none' ? `only ${Object.keys(service.definition).join(', ')}` : `a ${found} one`}`,
      );
    }
    return definition;
  }

  const spanOfCall = (method: string): OpenSpan | undefined =>
    childSpan({
      name: `${packageName}.${serviceName}/${method}`,
      kind: 'client',
      attributes: { 'rpc.system': 'grpc', 'rpc.service': `${packageName}.${serviceName}`, 'rpc.method': method },
    });

  async function once<Response>(method: string, request: object, until: number, more: GrpcCallOptions) {
    const span = spanOfCall(method);
    try {
      const response = await send<Response>(method, request, until, more, span?.context);
      span?.end(undefined, { 'rpc.grpc.status_code': status.OK });
      return response;
    } catch (error) {
      endFailed(span, error);
      throw error;
    }
  }

  async function send<Response>(
    method: string,
    request: object,
    until: number,
    { metadata, signal }: GrpcCallOptions,
    context: RequestContext | undefined,
  ) {
    const { path, requestSerialize, responseDeserialize } = definitionOf(method, 'unary');
    const sent = await outgoing(metadata, trust, context);
    signal?.throwIfAborted();
    return await new Promise<Response>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        sent,
        { deadline: until },
        (error, response) => {
          signal?.removeEventListener('abort', cancel);
          if (error) reject(error);
          else resolve(response as Response);
        },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  async function call<Response extends object>(method: string, request: object, more: GrpcCallOptions = {}) {
    const { signal, idempotent = false } = more;
    const until = Date.now() + (more.deadlineMs ?? deadlineMs);
    let delayMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        return await once<Response>(method, request, until, more);
      } catch (error) {
        signal?.throwIfAborted();
        if (!isServiceError(error)) throw error;
        delayMs = nextBackoffMs(delayMs, backoff);
        const again =
          idempotent && error.code === status.UNAVAILABLE && attempt <= retries && Date.now() + delayMs < until;
        if (!again) throw new GrpcCallError({ method: `${serviceName}.${method}`, address, attempts: attempt }, error);
        onRetry?.(method, attempt);
        await pause(delayMs, signal);
      }
    }
  }

  async function* stream<Response extends object>(
    method: string,
    request: object,
    { metadata, signal, deadlineMs: thisDeadlineMs = deadlineMs }: GrpcCallOptions = {},
  ): AsyncGenerator<Response> {
    const { path, requestSerialize, responseDeserialize } = definitionOf(method, 'stream');
    signal?.throwIfAborted();
    const span = spanOfCall(method);
    const sent = await outgoing(metadata, trust, span?.context);
    const answers: ClientReadableStream<unknown> = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      sent,
      { deadline: Date.now() + thisDeadlineMs },
    );
    const cancel = () => answers.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const answer of answers) yield answer as Response;
      span?.end(undefined, { 'rpc.grpc.status_code': status.OK });
    } catch (error) {
      endFailed(span, error);
      signal?.throwIfAborted();
      if (!isServiceError(error)) throw error;
      throw new GrpcCallError({ method: `${serviceName}.${method}`, address, attempts: 1 }, error);
    } finally {
      signal?.removeEventListener('abort', cancel);
      // A cancelled call still tells of it as an error, which nobody is left to hear.
      answers.on('error', () => {});
      answers.cancel();
    }
  }

  return { address, call, stream, close: () => client.close() };
}

function endFailed(span: OpenSpan | undefined, error: unknown): void {
  if (isServiceError(error)) span?.end(status[error.code], { 'rpc.grpc.status_code': error.code });
  else span?.end(faultName(error));
}

async function outgoing(
  more: Record<string, string> = {},
  { token }: GrpcClientTrust,
  request = currentRequest(),
): Promise<Metadata> {
  const metadata = new Metadata();
  if (request) {
    metadata.set('x-request-id', request.requestId);
    metadata.set('traceparent', request.traceparent);
    if (request.tracestate !== undefined) metadata.set('tracestate', request.tracestate);
  }
  for (const [name, value] of Object.entries(more)) metadata.set(name, value);
  if (token) metadata.set(serviceTokenHeader, await token());
  return metadata;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}
