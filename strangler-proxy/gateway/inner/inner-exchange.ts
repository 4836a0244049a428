import { IncomingMessage, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { PassThrough, type Readable } from 'node:stream';

/** The head of an answer that the proxy takes for itself before anybody else sees it. */
export type InnerHead = {
  status: number;
  statusMessage: string;
  /** Names and values in turn, in the order and case in which the upstream sent them. */
  rawHeaders: readonly string[];
};

/**
 * A request that the proxy makes of itself, with the two objects that the forwarder knows. It has no body. Its answer is read
 * by the proxy: the head when it comes, the body with back-pressure, trailers dropped.
 */
export type InnerExchange = {
  req: IncomingMessage;
  res: ServerResponse;
  /** Settles when the head has come; never, where the exchange ends without one. */
  head: Promise<InnerHead>;
  /** Must be read to its end or destroyed; ends with an error where the answer broke off. */
  body: Readable;
};

export function createInnerExchange(method: string): InnerExchange {
  const req = new IncomingMessage(new Socket());
  req.method = method;
  req.url = '/';
  req.httpVersion = '1.1';
  req.httpVersionMajor = 1;
  req.httpVersionMinor = 1;
  req.complete = true;
  req.push(null);
  const res = new InnerResponse(req);
  return { req, res: res as unknown as ServerResponse, head: res.head, body: res };
}

/** As much of a `ServerResponse` as the forwarder uses; what is written to it can be read from it. */
class InnerResponse extends PassThrough {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  readonly head: Promise<InnerHead>;
  readonly #tellHead: (head: InnerHead) => void;
  statusCode = 200;
  headersSent = false;
  sendDate = false;
  shouldKeepAlive = true;
  /** So that an answer which breaks off is destroyed, and is not taken for one that its connection ended. */
  chunkedEncoding = true;

  constructor(req: IncomingMessage) {
    super();
    this.req = req;
    this.socket = req.socket;
    const { promise, resolve } = Promise.withResolvers<InnerHead>();
    this.head = promise;
    this.#tellHead = resolve;
  }

  get finished(): boolean {
    return this.writableEnded;
  }

  writeHead(status: number, statusMessage: string, rawHeaders: readonly string[]): this {
    // As Node's own: what is no status of a final answer is refused, before anything has been sent.
    if (!Number.isInteger(status) || status < 200 || status > 999)
      throw new RangeError(`Invalid status code: ${status}`);
    this.statusCode = status;
    this.headersSent = true;
    this.#tellHead({ status, statusMessage, rawHeaders });
    return this;
  }

  hasHeader(): boolean {
    return false;
  }

  removeHeader(): void {}
  addTrailers(): void {}
  writeContinue(): void {}
  writeInformation(): void {}
}
