import { type Metadata, status } from '@grpc/grpc-js';

/** A status by name, such as `NOT_FOUND`. */
export type GrpcStatusName = keyof typeof status;

/** Thrown by an implementation to end a call with this status; the client is shown the message. */
export class GrpcError extends Error {
  readonly code: status;
  readonly metadata: Metadata | undefined;
  constructor(code: status | GrpcStatusName, message: string, metadata?: Metadata) {
    super(message);
    this.name = 'GrpcError';
    this.code = typeof code === 'string' ? status[code] : code;
    this.metadata = metadata;
  }
}

/**
 * A call that ended with a status other than OK, as its caller sees it. Not a `GrpcError`: a server that meets one
 * while it serves must say itself what its own client is to be told.
 */
export class GrpcCallError extends Error {
  readonly code: status;
  readonly statusName: GrpcStatusName;
  readonly details: string;
  readonly method: string;
  readonly address: string;
  readonly metadata: Metadata;
  constructor(
    call: { method: string; address: string; attempts: number },
    found: { code: status; details: string; metadata: Metadata },
  ) {
    const name = (status[found.code] ?? 'UNKNOWN') as GrpcStatusName;
    const tries = call.attempts > 1 ? ` after ${call.attempts} tries` : '';
    super(`${call.method} at ${call.address}: expected OK, found ${name}${tries} (${found.details})`, { cause: found });
    this.name = 'GrpcCallError';
    this.code = found.code;
    this.statusName = name;
    this.details = found.details;
    this.method = call.method;
    this.address = call.address;
    this.metadata = found.metadata;
  }
}
