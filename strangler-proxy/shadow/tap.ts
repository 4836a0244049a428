import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Side } from '../decide/decision.ts';
import { isEventStream } from '../forward/event-stream.ts';
import type { RepeatedRequest } from './ask.ts';
import { BodyCopy } from './body-copy.ts';
import type { ByteBudget } from './byte-budget.ts';
import { repeatRequest } from './repeated-request.ts';

/** Why a request that was sampled is compared with nothing after all: a closed set, used in metrics. */
export type SkipReason =
  /** The body is larger than a copy may be. */
  | 'request-too-large'
  | 'answer-too-large'
  /** A stream of events. */
  | 'streamed'
  /** All copies together are as large as they may be. */
  | 'memory'
  /** The client went away, or the answer broke off, or nobody could answer. */
  | 'not-answered'
  /** The proxy did not read the whole body: it was answered before that. */
  | 'request-not-read';

/** What the client was answered. */
export type LiveAnswer = {
  side: Side;
  status: number;
  /** Names in lower case, in the order in which they came. */
  headers: [name: string, value: string][];
  body: Buffer;
  latencyMs: number;
};

/** Told of what goes by; called in the middle of the live request, so it must be quick and must not throw. */
export type TapListener = {
  /** All of the request has been read, and the copy is whole. */
  requestWhole(tap: Tap): void;
  /** The live answer's head is here. */
  answering(tap: Tap): void;
};

export type TapOptions = {
  outgoing: OutgoingRequest;
  maxRequestBytes: number;
  maxAnswerBytes: number;
  budget: ByteBudget;
  listener: TapListener;
};

/**
 * Copies one request and its answer as they go by, up to bounds, and changes nothing of how they go. A copy that may not be is
 * dropped at once, with the reason; the live request does not hear of it.
 */
export class Tap {
  readonly #options: TapOptions;
  readonly #request: BodyCopy;
  readonly #answer: BodyCopy;
  #skipped: SkipReason | null = null;
  #freed = false;
  #requestIsWhole = false;
  #head: Omit<LiveAnswer, 'body'> | null = null;
  #side: Side = 'monolith';
  /** When the live answer's head came; null before. */
  answeredAtMs: number | null = null;

  constructor(options: TapOptions) {
    this.#options = options;
    this.#request = new BodyCopy(options.maxRequestBytes, options.budget);
    this.#answer = new BodyCopy(options.maxAnswerBytes, options.budget);
  }

  get skipped(): SkipReason | null {
    return this.#skipped;
  }

  /** The side that is asked next, and may be the one that answers. */
  sentTo(side: Side): void {
    this.#side = side;
  }

  requestBytes(chunk: Buffer): void {
    if (this.#freed || this.#requestIsWhole) return;
    const kept = this.#request.add(chunk);
    if (kept !== 'kept') this.skip(kept === 'memory' ? 'memory' : 'request-too-large');
  }

  requestWhole(): void {
    if (this.#freed || this.#requestIsWhole) return;
    this.#requestIsWhole = true;
    this.#options.listener.requestWhole(this);
  }

  answering(status: number, rawHeaders: readonly string[], latencyMs: number): void {
    if (this.#freed) return;
    this.answeredAtMs = performance.now();
    const { maxAnswerBytes, outgoing } = this.#options;
    const headers: [string, string][] = [];
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const name = rawHeaders[at]!.toLowerCase();
      const value = rawHeaders[at + 1]!;
      if (name === 'content-type' && isEventStream(value)) this.skip('streamed');
      if (name === 'content-length' && Number(value) > maxAnswerBytes && outgoing.method !== 'HEAD')
        this.skip('answer-too-large');
      headers.push([name, value]);
    }
    this.#head = { side: this.#side, status, headers, latencyMs };
    if (this.#skipped === null) this.#options.listener.answering(this);
  }

  answerBytes(chunk: Buffer): void {
    if (this.#freed) return;
    const kept = this.#answer.add(chunk);
    if (kept !== 'kept') this.skip(kept === 'memory' ? 'memory' : 'answer-too-large');
  }

  skip(reason: SkipReason): void {
    if (this.#skipped !== null) return;
    this.#skipped = reason;
    this.free();
  }

  /** The request as it can be repeated; only once it is whole. */
  repeated(more?: Readonly<Record<string, string>>): RepeatedRequest {
    return repeatRequest(this.#options.outgoing, this.#request.bytes, more);
  }

  /** What the client got, once it has got all of it. */
  taken(): { answer: LiveAnswer } | { skipped: SkipReason } {
    if (this.#skipped !== null) return { skipped: this.#skipped };
    if (this.#head === null) this.skip('not-answered');
    else if (!this.#requestIsWhole) this.skip('request-not-read');
    if (this.#skipped !== null) return { skipped: this.#skipped };
    return { answer: { ...this.#head!, body: this.#answer.bytes } };
  }

  /** Lets go of the copies, and makes no more. */
  free(): void {
    this.#freed = true;
    this.#request.free();
    this.#answer.free();
  }
}
