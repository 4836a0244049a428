import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { Writable } from 'node:stream';
import { connectionHeaders } from './head.ts';
import type { Http2Request } from './request.ts';
import type { StreamSocket } from './stream-socket.ts';

type Headers = Readonly<Record<string, string | number | readonly string[] | undefined>> | readonly string[];

/** Buffered here beside what the stream itself buffers. */
const highWaterMarkBytes = 32 * 1024;

/**
 * An answer in HTTP/2 with as much of a `ServerResponse` as those use who write answers here. Headers of HTTP/1.1's connections are dropped;
 * `Transfer-Encoding: chunked` is understood as: trailers may follow.
 */
export class Http2Response extends Writable {
  readonly req: Http2Request;
  readonly socket: StreamSocket;
  readonly #stream: ServerHttp2Stream;
  readonly #headers = new Map<string, string[]>();
  #head: string[] | null = null;
  #headGone = false;
  #trailers: Record<string, string[]> = {};
  statusCode = 200;
  statusMessage = '';
  sendDate = true;
  /** False: what the client still sends of its request is not waited for. The connection stays; its other requests are no concern of this one. */
  shouldKeepAlive = true;
  chunkedEncoding = false;

  constructor(stream: ServerHttp2Stream, req: Http2Request, socket: StreamSocket) {
    super({ highWaterMark: highWaterMarkBytes });
    this.#stream = stream;
    this.req = req;
    this.socket = socket;
    stream.once('close', () => this.destroy());
    stream.on('wantTrailers', () => stream.sendTrailers(this.#trailers));
    this.once('finish', () => {
      if (!this.shouldKeepAlive && !req.complete) socket.destroy();
    });
  }

  get headersSent(): boolean {
    return this.#head !== null;
  }

  get finished(): boolean {
    return this.writableEnded;
  }

  get connection(): StreamSocket {
    return this.socket;
  }

  setHeader(name: string, value: string | number | readonly string[]): this {
    this.#checkUnsent();
    this.#set(name, value);
    return this;
  }

  appendHeader(name: string, value: string | readonly string[]): this {
    this.#checkUnsent();
    this.#append(name, value);
    return this;
  }

  getHeader(name: string): string | readonly string[] | undefined {
    const values = this.#headers.get(name.toLowerCase());
    return values?.length === 1 ? values[0] : values;
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name.toLowerCase());
  }

  removeHeader(name: string): void {
    this.#checkUnsent();
    this.#headers.delete(name.toLowerCase());
  }

  /** @throws Error where HTTP/2 cannot say this; nothing has been sent then. */
  writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
    this.#checkUnsent();
    // Node's HTTP/2 has no others.
    if (!Number.isInteger(status) || status < 200 || status > 599)
      throw new RangeError(`Invalid status code: ${status}`);
    const more = typeof reason === 'string' ? headers : (reason ?? headers);
    if (Array.isArray(more)) this.#take(more as readonly string[]);
    else if (more !== undefined) {
      for (const [name, value] of Object.entries(more as Exclude<Headers, readonly string[]>)) {
        if (value !== undefined) this.#set(name, value);
      }
    }
    this.statusCode = status;
    this.statusMessage = STATUS_CODES[status] ?? '';
    const head = [':status', `${status}`];
    for (const [name, values] of this.#headers) for (const value of values) head.push(name, value);
    this.#head = head;
    return this;
  }

  flushHeaders(): void {
    if (this.#head === null) this.writeHead(this.statusCode);
    if (!this.#headGone) this.#sendHead(false);
  }

  writeContinue(): void {
    this.writeInformation(100);
  }

  /** `rawHeaders`: names and values in turn. */
  writeInformation(status: number, rawHeaders: readonly string[] = []): void {
    if (this.#headGone || this.#stream.destroyed || this.#stream.closed) return;
    const headers: Record<string, string | string[]> = {};
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at]!.toLowerCase();
      if (connectionHeaders.has(name)) continue;
      const before = headers[name];
      headers[name] = before === undefined ? rawHeaders[at + 1]! : [...[before].flat(), rawHeaders[at + 1]!];
    }
    this.#stream.additionalHeaders({ ...headers, ':status': status });
  }

  addTrailers(trailers: readonly (readonly [string, string])[] | Readonly<Record<string, string>>): void {
    for (const [name, value] of Array.isArray(trailers) ? trailers : Object.entries(trailers)) {
      const key = name.toLowerCase();
      if (connectionHeaders.has(key)) continue;
      this.#trailers[key] = [...(this.#trailers[key] ?? []), value];
    }
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#head === null) this.writeHead(this.statusCode);
    if (!this.#headGone) this.#sendHead(false);
    const stream = this.#stream;
    // An answer without body has ended with its head; what is written after that is dropped, as in HTTP/1.1.
    if (chunk.length === 0 || stream.writableEnded || stream.destroyed) {
      done();
      return;
    }
    this.socket.bytesWritten += chunk.length;
    if (stream.write(chunk, encoding)) done();
    else stream.once('drain', done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#head === null) this.writeHead(this.statusCode);
    const stream = this.#stream;
    if (!this.#headGone) this.#sendHead(Object.keys(this.#trailers).length === 0);
    if (!stream.writableEnded) stream.end();
    if (stream.writableFinished) done();
    else stream.once('finish', () => done());
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    const stream = this.#stream;
    if (!stream.closed && !stream.destroyed && !this.writableFinished) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    done();
  }

  #sendHead(ends: boolean): void {
    const stream = this.#stream;
    this.#headGone = true;
    if (stream.destroyed || stream.closed) return;
    const hasNoBody =
      this.req.method === 'HEAD' || this.statusCode === 204 || this.statusCode === 205 || this.statusCode === 304;
    const endStream = ends || hasNoBody;
    stream.respond(
      this.#head as unknown as Parameters<typeof stream.respond>[0],
      {
        endStream,
        sendDate: this.sendDate,
        waitForTrailers: this.chunkedEncoding && !endStream,
      } as Parameters<typeof stream.respond>[1],
    );
  }

  #take(rawHeaders: readonly string[]): void {
    for (let at = 0; at < rawHeaders.length && this.#headers.size > 0; at += 2) {
      this.#headers.delete(rawHeaders[at]!.toLowerCase());
    }
    for (let at = 0; at < rawHeaders.length; at += 2) this.#append(rawHeaders[at]!, rawHeaders[at + 1]!);
  }

  #set(name: string, value: string | number | readonly string[]): void {
    this.#headers.delete(name.toLowerCase());
    this.#append(name, typeof value === 'number' ? `${value}` : value);
  }

  #append(sent: string, value: string | readonly string[]): void {
    const name = sent.toLowerCase();
    if (connectionHeaders.has(name)) {
      if (name === 'transfer-encoding') this.chunkedEncoding = true;
      return;
    }
    validateHeaderName(name);
    const values = this.#headers.get(name) ?? [];
    for (const one of typeof value === 'string' ? [value] : value) {
      validateHeaderValue(name, one);
      values.push(one);
    }
    this.#headers.set(name, values);
  }

  #checkUnsent(): void {
    if (this.#head !== null) throw new Error('the head of the answer has been written');
  }
}
