import type { ClientRequest, IncomingMessage, InformationEvent, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import { staleEpochHeader, staleEpochOf } from '@strangler/platform/contracts/stale-epoch.ts';
import { lingerOverBody } from '../accept/linger.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import { breakAnswer, filterError, sendBodyAsItComes, sendWholeBody } from './answer-body.ts';
import { answerHop, openAnswer, sendInterimAnswer } from './answer-head.ts';
import { type BodyPace, type BodyRate, createBodyPace } from './body-pace.ts';
import { type ClientWatcher, watchClient } from './client-end.ts';
import type { Timed } from './deadlines.ts';
import { isEventStream } from './event-stream.ts';
import type { AddToAnswer, ConnectionAge, FailurePhase, ForwardError, ForwardResult } from './forwarder.ts';
import { copyTrailers } from './trailers.ts';
import { limitIdleTime } from './upstream-agent.ts';

/** Bounds on the time of one attempt, each on its own part of it. */
export type ForwardTimes = {
  /** Waiting for a free connection and making one. Default 3 s. */
  connectTimeoutMs: number;
  /** Silence between sending the request, or the last part of it that moved, and the first byte of the answer. Default 60 s. */
  answerTimeoutMs: number;
  /** The same for a read of a service that the monolith could serve instead. Default 3 s. */
  fallbackTimeoutMs: number;
  /** Silence within an answer; event streams may be silent for ever. Default 60 s. */
  bodyIdleTimeoutMs: number;
  /** A client that neither sends its body nor reads its answer. Default 60 s. */
  clientIdleTimeoutMs: number;
};

export const defaultForwardTimes: ForwardTimes = {
  connectTimeoutMs: 3_000,
  answerTimeoutMs: 60_000,
  fallbackTimeoutMs: 3_000,
  bodyIdleTimeoutMs: 60_000,
  clientIdleTimeoutMs: 60_000,
};

/** What an attempt is made of, and whom to tell how it ended. */
export type AttemptParts = {
  req: IncomingMessage;
  res: ServerResponse;
  outgoing: OutgoingRequest;
  addToAnswer: AddToAnswer;
  times: ForwardTimes;
  maxBodyBytes: number;
  bodyRate: BodyRate;
  onEnd(result: ForwardResult): void;
  /** Nothing of the attempt is under way any more, not even the rest of a body whose answer came early. */
  onOver(): void;
};

const attemptKey = Symbol('attempt');
type WithAttempt = { [attemptKey]?: Attempt };
/** The answer to a request of ours; Node sets `req` on it, which its types leave out. */
export type Answer = IncomingMessage & { req: ClientRequest };

/** The attempt that is under way for a client's request, if any. */
export function attemptOf(message: IncomingMessage): Attempt | undefined {
  return (message as WithAttempt)[attemptKey];
}

/**
 * One request to one instance, from the first try to connect to the last byte of the answer. It is given to httpxy as
 * the request's body (`options.buffer`, of which httpxy uses nothing but `pipe`), so that the client's body stays
 * unread until there is a connection, a request without body is ended at once, and framing is kept as it came.
 *
 * Listeners are functions shared by all attempts that find theirs through a symbol: no closures a request.
 */
export class Attempt implements Timed, ClientWatcher {
  readonly #parts: AttemptParts;
  readonly #startedMs = performance.now();
  #pace: BodyPace | null = null;
  #phase: FailurePhase = 'connect';
  #connection: ConnectionAge = 'fresh';
  #ended = false;
  #isOver = false;
  #tellOver: (() => void) | null = null;
  #request: ClientRequest | null = null;
  #answer: IncomingMessage | null = null;
  #through: readonly Duplex[] = nothing;
  #latencyMs = 0;
  #bodyBytes = 0;
  #movedBytes = -1;
  #movedMs = this.#startedMs;

  constructor(parts: AttemptParts) {
    this.#parts = parts;
    const { req, res } = parts;
    // A second and third attempt add listeners of httpxy's to the same two objects.
    if (!watchClient(res, this)) res.setMaxListeners(30).req.setMaxListeners(30);
    (req as WithAttempt)[attemptKey] = this;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get outgoing(): OutgoingRequest {
    return this.#parts.outgoing;
  }

  /** Takes the request that httpxy has made for this attempt, before it has a connection. */
  made(request: ClientRequest): void {
    this.#request = request;
    (request as WithAttempt)[attemptKey] = this;
    request.on('error', onRequestError);
    request.on('close', onRequestClose);
    request.on('information', onInformation);
  }

  /** httpxy: send the body. Called when a connection has been chosen, which need not be made yet. */
  pipe(request: ClientRequest): void {
    // httpxy writes `/*` for `*` and would join and re-slash other targets; the upstream is asked what the client asked.
    request.path = this.#parts.outgoing.target;
    if (request.reusedSocket) this.#connection = 'reused';
    const socket = request.socket as Socket & { encrypted?: boolean; secureConnecting?: boolean };
    if (socket.encrypted === true ? socket.secureConnecting === true : socket.connecting) {
      socket.once(socket.encrypted === true ? 'secureConnect' : 'connect', () => this.#connected(request));
    } else {
      this.#connected(request);
    }
  }

  /** The head of the answer has come. */
  answered(answer: Answer): void {
    if (this.#ended || this.#request !== answer.req) {
      answer.destroy();
      return;
    }
    this.#answer = answer;
    this.#latencyMs = performance.now() - this.#startedMs;
    const staleEpoch = this.#refusedEpoch(answer);
    if (staleEpoch !== null) {
      queueMicrotask(() => this.#keepBack(answer, staleEpoch));
      return;
    }
    const hop = answerHop(answer);
    if (hop.keepAlive !== null) limitIdleTime(answer.socket, hop.keepAlive);
    try {
      this.#through = openAnswer(answer, hop, this.#parts, this.#latencyMs);
    } catch (error) {
      queueMicrotask(() => this.#refuseAnswer(answer, error as Error));
      return;
    }
    this.#phase = 'answering';
    // httpxy destroys a request that is still being sent when its answer has been read. An upstream may answer first
    // and go on reading; one that does not closes the connection, and that is heard of anyway.
    if (!answer.req.writableFinished) answer.removeAllListeners('close');
    (answer as unknown as WithAttempt)[attemptKey] = this;
    answer.on('error', onAnswerError);
    // What came with the head is in the answer's buffer when this tick is over.
    process.nextTick(sendBody, this, answer, this.#parts, this.#through);
  }

  /** The answer cannot be sent on. Called once httpxy has put its listeners on it, by which it would cut the client off. */
  #refuseAnswer(answer: Answer, error: Error): void {
    letGo(answer);
    this.fail(filterError(error) ?? 'upstream-bad-response', error.message);
  }

  /** The epoch that the instance knows, where it refused a write of ours because that is over. */
  #refusedEpoch(answer: Answer): number | null {
    if (answer.statusCode !== 409 || this.#parts.outgoing.headers[epochHeader] === undefined) return null;
    return staleEpochOf(answer.statusCode, answer.headers[staleEpochHeader]);
  }

  /** Nothing was done: the client need not see this answer. Called when httpxy has put its listeners on it. */
  #keepBack(answer: Answer, staleEpoch: number): void {
    letGo(answer);
    if (this.#ended) return;
    this.#end({ kind: 'answered', status: 409, latencyMs: this.#latencyMs, staleEpoch });
    this.#request?.destroy();
  }

  /** Ends the attempt as failed, unless it has ended before. */
  fail(error: ForwardError, detail: string): void {
    if (this.#ended) return;
    const phase = this.#phase;
    const latencyMs = phase === 'answering' ? this.#latencyMs : performance.now() - this.#startedMs;
    this.#end({ kind: 'failed', error, phase, connection: this.#connection, detail, latencyMs });
    this.#request?.destroy();
    if (phase === 'answering') breakAnswer(this.#parts.res);
  }

  /** Something that is not of the request's own doing went wrong before it could be made. */
  failBeforeRequest(error: Error): void {
    if (this.#request === null) this.fail('upstream-bad-response', error.message);
  }

  requestFailed(error: NodeJS.ErrnoException): void {
    const detail = error.code === undefined ? error.message : `${error.code} ${error.message}`;
    this.fail(this.#errorOf(error.code), detail);
  }

  requestClosed(): void {
    // An answer 101 that nobody asked for ends the request with no error at all.
    if (this.#answer === null) this.fail('upstream-bad-response', 'the connection ended without an answer');
    else if (this.#ended) this.#over();
  }

  answerBroke(error: Error): void {
    this.fail('upstream-body-broken', error.message);
  }

  answerRead(answer: IncomingMessage): void {
    copyTrailers(answer, this.#parts.res);
  }

  /** The answer has gone out whole, or the client has gone. */
  clientClosed(): void {
    if (this.#ended) return;
    const { res } = this.#parts;
    if (res.writableFinished) {
      this.#end({ kind: 'answered', status: this.#answer?.statusCode ?? res.statusCode, latencyMs: this.#latencyMs });
      return;
    }
    const error = this.#parts.req.complete ? 'client-aborted-response' : 'client-aborted-request';
    this.#end({ kind: 'client-aborted', error, latencyMs: performance.now() - this.#startedMs });
    this.#request?.destroy();
  }

  informed({ statusCode, rawHeaders }: InformationEvent): void {
    if (!this.#ended) sendInterimAnswer(this.#parts.res, statusCode, rawHeaders as unknown as string[]);
  }

  /** Ends the attempt when its time is over; bytes that moved on the upstream's connection give it new time. */
  check(nowMs: number): void {
    const { times, res, req, outgoing } = this.#parts;
    if (this.#phase === 'connect') {
      if (nowMs - this.#startedMs > times.connectTimeoutMs) {
        this.fail('upstream-connect-timeout', `no connection within ${times.connectTimeoutMs} ms`);
      }
      return;
    }
    const socket = this.#request?.socket;
    const movedBytes = socket ? socket.bytesRead + socket.bytesWritten : 0;
    const clientOwesBody = outgoing.body.kind !== 'none' && !req.complete && this.#request?.writableNeedDrain === false;
    if (clientOwesBody && this.#isTooSlow(nowMs, movedBytes)) return;
    if (movedBytes !== this.#movedBytes) {
      this.#movedBytes = movedBytes;
      this.#movedMs = nowMs;
      return;
    }
    const silentMs = nowMs - this.#movedMs;
    if (this.#ended) {
      if (silentMs > times.clientIdleTimeoutMs) this.#request?.destroy();
      return;
    }
    if (this.#phase === 'sent') {
      if (clientOwesBody) {
        if (silentMs > times.clientIdleTimeoutMs) {
          this.fail('client-stalled-request', `no part of the body for ${times.clientIdleTimeoutMs} ms`);
        }
      } else if (silentMs > times.answerTimeoutMs) {
        this.fail('upstream-timeout', `no answer within ${times.answerTimeoutMs} ms`);
      }
      return;
    }
    if (res.writableNeedDrain) {
      if (silentMs > times.clientIdleTimeoutMs) {
        this.fail('client-stalled-response', `the client has read nothing for ${times.clientIdleTimeoutMs} ms`);
      }
    } else if (
      silentMs > times.bodyIdleTimeoutMs &&
      !isEventStream(this.#answer?.headers['content-type']) &&
      !this.#answer?.complete
    ) {
      this.fail('upstream-body-stalled', `no part of the answer for ${times.bodyIdleTimeoutMs} ms`);
    }
  }

  /** Ends what a client keeps open by a body that hardly comes, also where its answer has been given. */
  #isTooSlow(nowMs: number, movedBytes: number): boolean {
    const { bodyRate } = this.#parts;
    this.#pace ??= createBodyPace(bodyRate);
    if (!this.#pace.isBelow(nowMs, movedBytes)) return false;
    if (this.#ended) this.#request?.destroy();
    else this.fail('client-stalled-request', `less than ${bodyRate.bytesPerSecond} bytes of the body a second`);
    return true;
  }

  #connected(request: ClientRequest): void {
    if (this.#ended) return;
    this.#phase = 'sent';
    const { req, res, outgoing } = this.#parts;
    if (outgoing.body.kind === 'none') {
      if (request.useChunkedEncodingByDefault) {
        // Or Node would give a POST or PUT without body the length 0 that its client did not send.
        request.removeHeader('content-length');
        request.removeHeader('transfer-encoding');
      }
      outgoing.tap?.requestWhole();
      request.end();
      return;
    }
    if (outgoing.clientAwaitsContinue) {
      outgoing.clientAwaitsContinue = false;
      res.writeContinue();
    }
    const { kept, tap } = outgoing;
    if (outgoing.body.kind === 'chunked') {
      // Said here, where httpxy no longer looks: it closes the connection after each request that says so itself.
      // Left unsaid, Node would turn an empty body into Content-Length 0 and send that of a DELETE without framing.
      request.setHeader('Transfer-Encoding', 'chunked');
    }
    if (kept?.whole) {
      for (const chunk of kept.chunks) request.write(chunk);
      copyTrailers(req, request);
      request.end();
      return;
    }
    if (outgoing.body.kind === 'chunked' || kept !== null || tap !== null) {
      req.on('data', onBodyChunk);
      req.on('end', onBodyEnd);
    }
    req.pipe(request);
    // The head goes ahead of a body that has not begun: an upstream may refuse it by the head alone.
    request.write(noBytes);
  }

  bodyChunk(chunk: Buffer): void {
    this.#parts.outgoing.kept?.add(chunk);
    this.#parts.outgoing.tap?.requestBytes(chunk);
    this.#bodyBytes += chunk.length;
    const most = Math.min(this.#parts.maxBodyBytes, this.#parts.outgoing.maxBodyBytes ?? Number.POSITIVE_INFINITY);
    if (this.#bodyBytes <= most) return;
    this.fail('client-body-too-large', `the body is larger than ${most} bytes`);
  }

  bodyRead(): void {
    this.#parts.outgoing.kept?.end();
    this.#parts.outgoing.tap?.requestWhole();
    if (this.#request !== null && !this.#request.writableEnded) copyTrailers(this.#parts.req, this.#request);
  }

  #errorOf(code: string | undefined): ForwardError {
    if (this.#phase === 'answering') return 'upstream-body-broken';
    if (code?.startsWith('HPE_')) return 'upstream-bad-response';
    if (this.#phase === 'connect') return code === 'ETIMEDOUT' ? 'upstream-connect-timeout' : 'upstream-refused';
    return 'upstream-reset';
  }

  #end(result: ForwardResult): void {
    this.#ended = true;
    if (result.kind !== 'answered') for (const one of this.#through) one.destroy();
    // An upstream that has answered may still be reading; its connection's end, not the answer's, ends the body.
    const request = this.#request;
    const stillSending =
      result.kind === 'answered' &&
      result.staleEpoch === undefined &&
      request !== null &&
      !request.writableFinished &&
      !request.destroyed;
    if (stillSending) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#tellOver = resolve;
      result.over = promise;
    } else {
      this.#over();
    }
    this.#parts.onEnd(result);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#dropBody();
    this.#tellOver?.();
    this.#parts.onOver();
  }

  /** What is left of the client's body is read and dropped: nothing else would, and its connection would stand still. */
  #dropBody(): void {
    const { req, outgoing } = this.#parts;
    if (outgoing.body.kind === 'none' || this.#phase === 'connect' || req.complete) return;
    if (this.#request !== null) req.unpipe(this.#request);
    lingerOverBody(req);
  }
}

/** Takes httpxy's listeners off an answer that goes nowhere. */
function letGo(answer: Answer): void {
  answer.removeAllListeners('close');
  answer.removeAllListeners('error');
  answer.on('error', () => {});
}

const noBytes = Buffer.alloc(0);
const nothing: readonly Duplex[] = [];

/** Sends an answer that is here in one go, and the beginning of another at once. */
function sendBody(
  attempt: Attempt,
  answer: Answer,
  { res, outgoing: { tap } }: AttemptParts,
  through: readonly Duplex[],
): void {
  if (attempt.ended) return;
  if (answer.complete && through.length === 0) {
    const body: Buffer | null = answer.read();
    if (tap !== null && body !== null) tap.answerBytes(body);
    if (answer.rawTrailers.length > 0 && res.chunkedEncoding) copyTrailers(answer, res);
    sendWholeBody(body, res);
    return;
  }
  if (res.chunkedEncoding) answer.on('end', onAnswerEnd);
  sendBodyAsItComes(answer, res, tap, through, (error, detail) => attempt.fail(error, detail));
}

function onRequestError(this: ClientRequest & WithAttempt, error: NodeJS.ErrnoException): void {
  this[attemptKey]?.requestFailed(error);
}

function onRequestClose(this: ClientRequest & WithAttempt): void {
  this[attemptKey]?.requestClosed();
}

function onInformation(this: ClientRequest & WithAttempt, information: InformationEvent): void {
  this[attemptKey]?.informed(information);
}

function onAnswerError(this: IncomingMessage & WithAttempt, error: Error): void {
  this[attemptKey]?.answerBroke(error);
}

function onAnswerEnd(this: IncomingMessage & WithAttempt): void {
  this[attemptKey]?.answerRead(this);
}

function onBodyChunk(this: IncomingMessage & WithAttempt, chunk: Buffer): void {
  this[attemptKey]?.bodyChunk(chunk);
}

function onBodyEnd(this: IncomingMessage & WithAttempt): void {
  this[attemptKey]?.bodyRead();
}
