import { type IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { readHttp2Head } from './head.ts';
import type { StreamSocket } from './stream-socket.ts';

/** The method by which Node itself joins header lines, or keeps the first. */
type AddsHeaderLines = { _addHeaderLine(name: string, value: string, to: IncomingHttpHeaders): void };

const headersOf = (request: AddsHeaderLines, rawHeaders: readonly string[]): IncomingHttpHeaders => {
  const headers: IncomingHttpHeaders = {};
  for (let at = 0; at < rawHeaders.length; at += 2)
    request._addHeaderLine(rawHeaders[at]!, rawHeaders[at + 1]!, headers);
  return headers;
};

/**
 * A request in HTTP/2 as an `IncomingMessage`: what serves HTTP/1.1 serves it without knowing. Its body stays in the stream, and with it
 * the client's leave to send more, until somebody reads.
 */
export class Http2Request extends IncomingMessage {
  readonly scheme: string;
  /** Nothing came after the head, and nothing will. */
  readonly endsWithHead: boolean;
  readonly #stream: ServerHttp2Stream;
  #reading = false;

  constructor(stream: ServerHttp2Stream, received: readonly string[], endsWithHead: boolean, socket: StreamSocket) {
    super(socket as unknown as Socket);
    const { method, target, scheme, rawHeaders } = readHttp2Head(received);
    this.method = method;
    this.url = target;
    this.scheme = scheme;
    this.rawHeaders = rawHeaders;
    this.headers = headersOf(this as unknown as AddsHeaderLines, rawHeaders);
    this.httpVersion = '2.0';
    this.httpVersionMajor = 2;
    this.httpVersionMinor = 0;
    this.endsWithHead = endsWithHead;
    this.#stream = stream;
    noteEnd(stream, endsWithHead, () => {
      this.complete = true;
    });
    if (endsWithHead) {
      this.complete = true;
      this.push(null);
      return;
    }
    stream.once('trailers', (_trailers: unknown, _flags: number, rawTrailers: string[]) => {
      this.rawTrailers = rawTrailers;
    });
    stream.once('close', () => this.#streamClosed());
  }

  override _read(): void {
    const stream = this.#stream;
    if (this.#reading) {
      stream.resume();
      return;
    }
    this.#reading = true;
    stream.on('data', (chunk: Buffer) => {
      if (!this.destroyed && !this.push(chunk)) stream.pause();
    });
    // Node also ends a stream that the client took back, and half a body must not look whole.
    stream.once('end', () => {
      if (this.complete) this.push(null);
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // The stream is the answer's too; what is left of the body is the business of whoever gives that.
    this.#stream.resume();
    done(error);
  }

  #streamClosed(): void {
    if (this.complete || this.destroyed) return;
    this.aborted = true;
    this.emit('aborted');
    // As in HTTP/1.1: told to whoever asked to be told of errors.
    const error = Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
    this.destroy(this.listenerCount('error') > 0 ? error : undefined);
  }
}

/**
 * Tells when the client has said that its body is over. `end` alone does not: after RST_STREAM(NO_ERROR) Node ends the stream as well, but
 * only once it has marked it as closed. It then waits for both sides of the stream to be done with, which may be never.
 */
const noteEnd = (stream: ServerHttp2Stream, isWhole: boolean, onEnd: () => void): void => {
  const { push } = stream;
  let whole = isWhole;
  const cut = (): void => {
    if (!stream.destroyed && !(whole && stream.writableFinished)) stream.destroy();
  };
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && stream.closed) setImmediate(cut);
    else if (chunk === null) {
      whole = true;
      onEnd();
    }
    return push.call(stream, chunk, encoding);
  };
};
