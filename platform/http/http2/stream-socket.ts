import { EventEmitter } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';

/**
 * One stream of an HTTP/2 connection where code of HTTP/1.1 expects the connection of a request: destroying it ends this request and
 * no other.
 */
export class StreamSocket extends EventEmitter {
  readonly encrypted = true;
  readonly #stream: ServerHttp2Stream;
  readonly #connection: TLSSocket;
  /** Bytes that were given to the stream; those that wait in it are `writableLength`. */
  bytesWritten = 0;

  constructor(stream: ServerHttp2Stream, connection: TLSSocket) {
    super();
    this.#stream = stream;
    this.#connection = connection;
  }

  get remoteAddress(): string | undefined {
    return this.#connection.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#connection.remotePort;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  get readable(): boolean {
    return this.#stream.readable;
  }

  get writable(): boolean {
    return this.#stream.writable;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  /** Tells the client that the rest is not wanted; an answer that has gone out whole stays whole (RFC 9113 §8.1). */
  destroy(): this {
    const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL } = constants;
    if (!this.destroyed) this.#stream.close(this.#stream.writableFinished ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    return this;
  }

  /** Tells the client that the answer broke off. */
  resetAndDestroy(): this {
    if (!this.destroyed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return this;
  }

  setTimeout(): this {
    return this;
  }
}
