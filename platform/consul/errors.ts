type Where = { operation: string; url: string };

/** Whatever went wrong between us and Consul; the subclasses say what the caller may conclude. */
export class ConsulError extends Error {
  readonly operation: string;
  readonly url: string;
  constructor(where: Where, message: string, options?: ErrorOptions) {
    super(`Consul ${where.operation} at ${where.url}: ${message}`, options);
    this.name = new.target.name;
    this.operation = where.operation;
    this.url = where.url;
  }
}

/** Consul was not reached, or a read went unanswered: nothing has changed, it may be tried again. */
export class ConsulUnreachable extends ConsulError {}

/** Consul answered, and said no. `status` is the HTTP status. */
export class ConsulRefused extends ConsulError {
  readonly status: number;
  readonly body: unknown;
  constructor(where: Where, status: number, body: unknown, options?: ErrorOptions) {
    const said = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
    super(where, `expected 2xx, got ${status}${said ? ` (${said.slice(0, 300)})` : ''}`, options);
    this.status = status;
    this.body = body;
  }
}

/** A write was sent and its answer never came (or was a 5xx): it may have happened. Read back; never guess. */
export class OutcomeUnknown extends ConsulError {
  constructor(where: Where, found: string, options?: ErrorOptions) {
    super(where, `${found}; the write may or may not have happened: read back before repeating it`, options);
  }
}

type PackageError = Error & {
  isResponse?: boolean;
  isValidation?: boolean;
  response?: { statusCode?: number; body?: unknown };
  code?: string;
};

const neverSentCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);

/** Names what an error thrown by the `consul` package lets the caller conclude, for a `read` or a `write`. */
export function classifyConsulError(thrown: unknown, where: Where, effect: 'read' | 'write'): Error {
  const error = thrown as PackageError;
  if (error.isValidation) return error;
  if (error.isResponse) {
    const status = error.response?.statusCode ?? 0;
    const body = Buffer.isBuffer(error.response?.body) ? error.response.body.toString() : error.response?.body;
    if (status >= 500 && effect === 'write') {
      const said = typeof body === 'string' ? ` (${body.slice(0, 300)})` : '';
      return new OutcomeUnknown(where, `expected 2xx, got ${status}${said}`, { cause: thrown });
    }
    return new ConsulRefused(where, status, body, { cause: thrown });
  }
  const found = error.message || error.code || String(thrown);
  if (effect === 'read' || neverSentCodes.has(error.code ?? '')) {
    return new ConsulUnreachable(where, `no answer: ${found}`, { cause: thrown });
  }
  return new OutcomeUnknown(where, `no answer: ${found}`, { cause: thrown });
}
