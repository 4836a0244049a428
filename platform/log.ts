import { types } from 'node:util';
import pino from 'pino';
import { currentRequest } from './http/request-context.ts';

export type Log = pino.Logger;
export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

const hidden = '[redacted]';
const deepest = 8;
const longestList = 100;

/** Names whose values are never written, in whatever letter case and at whatever depth they stand. */
const secretNames = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'password',
  'passwd',
  'password_hash',
  'passwordhash',
  'new_password',
  'newpassword',
  'token',
  'access_token',
  'accesstoken',
  'refresh_token',
  'refreshtoken',
  'id_token',
  'idtoken',
  'secret',
  'client_secret',
  'clientsecret',
  'api_key',
  'apikey',
  'x-api-key',
  'private_key',
  'privatekey',
  'x-strangler-operator',
  'x-consul-token',
]);

/**
 * A JSON logger for one program: one line an event on standard output, with times in ISO 8601 and errors with their
 * causes. Lines carry the request id and trace of the request they were written for. Written synchronously, so that
 * the last line before a crash is not lost.
 */
export function createLog({
  name,
  level,
  destination = pino.destination({ dest: 1, sync: true }),
}: {
  name: string;
  level: LogLevel | (string & {});
  destination?: pino.DestinationStream;
}): Log {
  const log = pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
      // `redact` has made plain objects of errors by then.
      serializers: { err: (value) => value },
      hooks: { streamWrite: redactText },
      mixin: requestFields,
    },
    destination,
  );
  // pino formats what a line carries but not what a child is bound to.
  const child = log.child;
  log.child = function childWithoutSecrets(this: Log, bindings: pino.Bindings, options?: object) {
    return child.call(this, redact(bindings) as pino.Bindings, options as never);
  } as Log['child'];
  return log;
}

function requestFields(): Record<string, string> {
  const request = currentRequest();
  return request === undefined
    ? {}
    : { requestId: request.requestId, traceId: request.traceId, spanId: request.spanId };
}

/**
 * A copy of a value for writing down: the values of secret names hidden, errors as plain objects with their causes,
 * cycles and depth cut.
 */
export function redact(value: unknown): unknown {
  return copy(value, 0, []);
}

function copy(value: unknown, depth: number, above: readonly object[]): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (types.isDate(value)) return value;
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`;
  if (above.includes(value)) return '[circular]';
  if (depth >= deepest) return '[too deep]';
  const path = [...above, value];
  if (types.isNativeError(value) || value instanceof Error) return copyFields(errorFields(value), depth, path);
  if (Array.isArray(value)) {
    const items = value.slice(0, longestList).map((item) => copy(item, depth + 1, path));
    return value.length > longestList ? [...items, `[${value.length - longestList} more]`] : items;
  }
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') return copy(toJSON.call(value), depth + 1, path);
  return copyFields(value, depth, path);
}

function copyFields(fields: object, depth: number, path: readonly object[]): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    const isSecret = value !== undefined && value !== null && secretNames.has(key.toLowerCase());
    out[key] = isSecret ? hidden : copy(value, depth + 1, path);
  }
  return out;
}

function errorFields(error: Error): Record<string, unknown> {
  const { cause } = error;
  // An own property that spreading leaves out.
  const inner = 'errors' in error && Array.isArray(error.errors) ? { errors: error.errors as unknown[] } : {};
  return {
    ...error,
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...(cause === undefined ? {} : { cause }),
    ...inner,
  };
}

/** Hides passwords in URLs, tokens in queries and bearer tokens wherever they stand in a text. */
export function redactText(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@"\\]{0,128}:)(?!\d+[/?#\s"])[^\s"\\]{1,512}@/gi, `$1${hidden}@`)
    .replace(/([?&](?:access_token|refresh_token|id_token|token|password|secret|api_key)=)[^&\s"\\#]+/gi, `$1${hidden}`)
    .replace(/\b(Bearer|Basic) [A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${hidden}`);
}
