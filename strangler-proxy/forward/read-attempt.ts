import { type Duplex, Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { breakAnswer, filterError, sendBodyAsItComes, sendWholeBody } from './answer-body.ts';
import { answerHop, openAnswer, sendInterimAnswer, type UpstreamHead } from './answer-head.ts';
import type { AttemptParts } from './attempt.ts';
import { type ClientWatcher, watchClient } from './client-end.ts';
import type { Timed } from './deadlines.ts';
import { isEventStream } from './event-stream.ts';
import type { ConnectionAge, FailurePhase, ForwardError } from './forwarder.ts';
import type { Carrier, Traveller } from './read-connections.ts';
import { copyTrailers } from './trailers.ts';

type Controller = Dispatcher.DispatchController;

export type ReadAttemptParts = Pick<
  AttemptParts,
  'req' | 'res' | 'outgoing' | 'addToAnswer' | 'times' | 'onEnd' | 'onOver'
> & {
  /** The upstream said 100 to a request that has no body, which undici does not take. Nothing has been answered. */
  onUnaskedContinue(): void;
};

/**
 * One request without a body to one instance, from the wait for a connection to the last byte of the answer, by undici. What an
 * `Attempt` has to do about the client's body has no place here: that is the whole difference.
 *
 * An answer that comes in one piece, as most do, goes out in one piece, and no stream is made for it.
 */
export class ReadAttempt implements Timed, ClientWatcher, Traveller {
  readonly #parts: ReadAttemptParts;
  readonly #startedMs = performance.now();
  #carrier: Carrier | null = null;
  #controller: Controller | null = null;
  #connection: ConnectionAge = 'fresh';
  #phase: FailurePhase = 'connect';
  #ended = false;
  #status = 0;
  #latencyMs = 0;
  #rawHeaders: readonly string[] = [];
  /** What has come of the body before it was known whether that is all of it. */
  #first: Buffer[] = [];
  #isWhole = false;
  #body: Readable | null = null;
  #through: readonly Duplex[] = [];
  /** Where bytes have moved since the last look. */
  #moved = false;
  #movedMs = 0;

  constructor(parts: ReadAttemptParts) {
    this.#parts = parts;
    watchClient(parts.res, this);
  }

  travelsOn(carrier: Carrier): void {
    this.#carrier = carrier;
  }

  refused(why: string): void {
    this.fail('upstream-refused', why);
  }

  onRequestStart(controller: Controller): void {
    if (this.#ended) {
      controller.abort(overBefore);
      return;
    }
    this.#controller = controller;
    this.#connection = this.#carrier?.carry() ?? 'fresh';
    this.#phase = 'sent';
    this.#moved = true;
    this.#parts.outgoing.tap?.requestWhole();
  }

  onResponseStart(controller: Controller, statusCode: number, _headers: unknown, statusMessage?: string): void {
    if (this.#ended) return;
    this.#moved = true;
    const rawHeaders = asText(controller.rawHeaders);
    if (statusCode < 200) sendInterimAnswer(this.#parts.res, statusCode, rawHeaders);
    else this.#answered({ statusCode, statusMessage: statusMessage ?? '', rawHeaders });
  }

  #answered(head: UpstreamHead): void {
    this.#status = head.statusCode!;
    this.#latencyMs = performance.now() - this.#startedMs;
    let through: readonly Duplex[];
    try {
      through = openAnswer(head, answerHop(head), this.#parts, this.#latencyMs);
    } catch (error) {
      this.fail(filterError(error as Error) ?? 'upstream-bad-response', (error as Error).message);
      return;
    }
    this.#phase = 'answering';
    this.#rawHeaders = head.rawHeaders;
    if (through.length > 0) this.#stream(through);
    // What came with the head is here when this tick is over.
    else process.nextTick(sendFirst, this);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#ended) return;
    this.#moved = true;
    if (this.#body === null) this.#first.push(chunk);
    else if (!this.#body.push(chunk)) controller.pause();
  }

  onResponseEnd(controller: Controller): void {
    if (!this.#ended) this.#whole(asText(controller.rawTrailers));
  }

  #whole(rawTrailers: readonly string[]): void {
    this.#isWhole = true;
    const { res } = this.#parts;
    if (rawTrailers.length > 0 && res.chunkedEncoding) copyTrailers({ rawTrailers }, res);
    this.#body?.push(null);
  }

  onResponseError(_controller: Controller, error: Error): void {
    const { code } = error as NodeJS.ErrnoException;
    if (this.#phase === 'sent' && code === 'UND_ERR_SOCKET' && error.message === 'bad response' && !this.#ended) {
      this.#over();
      this.#parts.onUnaskedContinue();
      return;
    }
    if (this.#status === 304 && code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
      // RFC 9110 §8.6: the length is that of what the client has already; undici waits for it.
      this.#whole([]);
      return;
    }
    this.fail(this.#errorOf(code, error.message), code === undefined ? error.message : `${code} ${error.message}`);
  }

  /** Sends what is here: all of the answer, or its beginning. */
  sendFirst(): void {
    if (this.#ended) return;
    const first = this.#first;
    if (!this.#isWhole) {
      this.#stream([]);
      return;
    }
    this.#first = [];
    const body = first.length === 0 ? null : first.length === 1 ? first[0]! : Buffer.concat(first);
    const { res, outgoing } = this.#parts;
    if (body !== null) outgoing.tap?.answerBytes(body);
    sendWholeBody(body, res);
  }

  #stream(through: readonly Duplex[]): void {
    const { res, outgoing } = this.#parts;
    const controller = this.#controller!;
    const body = new Readable({ read: () => controller.resume() });
    this.#body = body;
    for (const chunk of this.#first) body.push(chunk);
    this.#first = [];
    this.#through = through;
    sendBodyAsItComes(body, res, outgoing.tap, through, (error, detail) => this.fail(error, detail));
  }

  /** Ends the attempt as failed, unless it has ended before. */
  fail(error: ForwardError, detail: string): void {
    if (this.#ended) return;
    const phase = this.#phase;
    const latencyMs = phase === 'answering' ? this.#latencyMs : performance.now() - this.#startedMs;
    this.#over();
    for (const one of this.#through) one.destroy();
    this.#parts.onEnd({ kind: 'failed', error, phase, connection: this.#connection, detail, latencyMs });
    this.#controller?.abort(overBefore);
    if (phase === 'answering') breakAnswer(this.#parts.res);
  }

  clientClosed(): void {
    if (this.#ended) return;
    this.#over();
    if (this.#parts.res.writableFinished) {
      this.#parts.onEnd({ kind: 'answered', status: this.#status, latencyMs: this.#latencyMs });
      return;
    }
    for (const one of this.#through) one.destroy();
    const latencyMs = performance.now() - this.#startedMs;
    this.#parts.onEnd({ kind: 'client-aborted', error: 'client-aborted-response', latencyMs });
    this.#controller?.abort(overBefore);
  }

  /** Ends the attempt when its time is over; what has come from the upstream gives it new time. */
  check(nowMs: number): void {
    const { times, res } = this.#parts;
    if (this.#phase === 'connect') {
      if (nowMs - this.#startedMs > times.connectTimeoutMs) {
        this.fail('upstream-connect-timeout', `no connection within ${times.connectTimeoutMs} ms`);
      }
      return;
    }
    if (this.#moved) {
      this.#moved = false;
      this.#movedMs = nowMs;
      return;
    }
    const silentMs = nowMs - this.#movedMs;
    if (this.#phase === 'sent') {
      if (silentMs > times.answerTimeoutMs) {
        this.fail('upstream-timeout', `no answer within ${times.answerTimeoutMs} ms`);
      }
    } else if (res.writableNeedDrain) {
      if (silentMs > times.clientIdleTimeoutMs) {
        this.fail('client-stalled-response', `the client has read nothing for ${times.clientIdleTimeoutMs} ms`);
      }
    } else if (
      silentMs > times.bodyIdleTimeoutMs &&
      !this.#isWhole &&
      !isEventStream(contentTypeIn(this.#rawHeaders))
    ) {
      this.fail('upstream-body-stalled', `no part of the answer for ${times.bodyIdleTimeoutMs} ms`);
    }
  }

  #errorOf(code: string | undefined, message: string): ForwardError {
    if (this.#phase === 'answering') return 'upstream-body-broken';
    if (code?.startsWith('HPE_') || (code !== undefined && badResponseCodes.has(code))) return 'upstream-bad-response';
    if (this.#phase === 'connect') {
      return code === 'ETIMEDOUT' || code === 'UND_ERR_CONNECT_TIMEOUT'
        ? 'upstream-connect-timeout'
        : 'upstream-refused';
    }
    // An answer 101 that nobody asked for.
    return message === 'bad upgrade' ? 'upstream-bad-response' : 'upstream-reset';
  }

  #over(): void {
    this.#ended = true;
    this.#parts.onOver();
  }
}

/** What undici says of an answer, or of a request that cannot be made, and not of the connection. */
const badResponseCodes: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
]);

const overBefore = new Error('the attempt is over');

/** Raw headers or trailers as text, a character a byte; undici hands them on as the bytes that came. */
const asText = (raw: Controller['rawHeaders']): string[] =>
  Array.isArray(raw) ? raw.map((item) => (typeof item === 'string' ? item : item.toString('latin1'))) : [];

function contentTypeIn(rawHeaders: readonly string[]): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === 12 && rawHeaders[i]!.toLowerCase() === 'content-type') return rawHeaders[i + 1];
  }
  return undefined;
}

const sendFirst = (attempt: ReadAttempt): void => attempt.sendFirst();
