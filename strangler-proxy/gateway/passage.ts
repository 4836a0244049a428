import type { Accepted } from '../accept/accept.ts';
import type { GatewayMetrics } from '../account/gateway-metrics.ts';
import { type AnswerFilter, type AnswerHead, nested } from '../forward/answer-filter.ts';
import type { Identity, InterceptedRequest, Interception, Pass, PolicyRequest, Refuse, Verdict } from './policy.ts';
import type { Chain } from './route-chains.ts';

/** What became of a request at all policies of its route; `policy`: the name of the one that refused it. */
export type Entry = { kind: 'passed' } | { kind: 'refused'; policy: string; refusal: Refuse };

/** What interceptors made of a request; `policy`: the name of the one that answers it. */
export type Intercepted =
  | { kind: 'forward' }
  | Extract<Interception, { kind: 'failed' }>
  | { kind: 'answer'; policy: string; answer: Extract<Interception, { kind: 'answer' }>; filter: AnswerFilter | null };

const passed: Entry = Object.freeze({ kind: 'passed' });
const forward: Intercepted = Object.freeze({ kind: 'forward' });

/** One request on its way past the policies of its route. */
export class Passage {
  readonly kind = 'passage';
  readonly #chain: Chain;
  readonly #accepted: Accepted;
  readonly #metrics: Pick<GatewayMetrics, 'refused' | 'answered'>;
  readonly #identity: Identity = { user: null, key: null, claims: null };
  readonly #request: PolicyRequest;
  #add: string[] | null = null;
  #overs: (() => void)[] | null = null;
  #isOver = false;

  constructor(chain: Chain, accepted: Accepted, metrics: Pick<GatewayMetrics, 'refused' | 'answered'>) {
    this.#chain = chain;
    this.#metrics = metrics;
    this.#accepted = accepted;
    const { facts, outgoing } = accepted;
    this.#request = { facts, outgoing, route: chain.route, identity: this.#identity };
    if (chain.answering.length > 0) outgoing.filter = this.#filterHead;
  }

  get route(): string {
    return this.#chain.route;
  }

  /** Asks one policy after the other, until one refuses; at once where none of them has to wait. */
  check(from = 0): Entry | Promise<Entry> {
    const { checks } = this.#chain;
    for (let at = from; at < checks.length; at += 1) {
      const verdict = checks[at]!.check!(this.#request);
      if (verdict instanceof Promise) return verdict.then((told) => this.#obey(at, told) ?? this.check(at + 1));
      const refused = this.#obey(at, verdict);
      if (refused !== null) return refused;
    }
    return passed;
  }

  #obey(at: number, verdict: Verdict): Entry | null {
    if (verdict.kind === 'pass') {
      this.#note(verdict);
      return null;
    }
    const { name } = this.#chain.checks[at]!;
    if (verdict.status < 400) this.#metrics.answered(name, this.route);
    else this.#metrics.refused(name, this.route, verdict.status);
    return { kind: 'refused', policy: name, refusal: verdict };
  }

  #note({ identity, addToAnswer, withhold, maxBodyBytes, over }: Pass): void {
    const { facts, outgoing } = this.#accepted;
    if (identity !== undefined) {
      Object.assign(this.#identity, identity);
      facts.verifiedClaims = this.#identity.claims;
    }
    if (addToAnswer !== undefined && addToAnswer.length > 0) {
      this.#add ??= [];
      this.#add.push(...addToAnswer);
      outgoing.filter = this.#filterHead;
    }
    if (withhold !== undefined) {
      for (const key of Object.keys(outgoing.headers)) {
        if (withhold.includes(key.toLowerCase())) delete outgoing.headers[key];
      }
    }
    if (maxBodyBytes !== undefined)
      outgoing.maxBodyBytes = Math.min(outgoing.maxBodyBytes ?? maxBodyBytes, maxBodyBytes);
    if (over === undefined) return;
    // The client may have gone while a policy made up its mind.
    if (this.#isOver) over();
    else {
      this.#overs ??= [];
      this.#overs.push(over);
    }
  }

  get intercepts(): boolean {
    return this.#chain.interceptors.length > 0;
  }

  /**
   * Asks one interceptor after the other, until one answers. They stand around each other as they are listed: what one
   * answers, or an upstream, goes through the filters of those before it, the nearest first, and then gets its headers.
   */
  async intercept(parts: Omit<InterceptedRequest, 'request'>): Promise<Intercepted> {
    const filters: AnswerFilter[] = this.#changesHead ? [this.#filterHead] : [];
    for (const policy of this.#chain.interceptors) {
      const interception = await policy.intercept!({ ...parts, request: this.#request });
      if (interception.kind === 'answer') {
        this.#metrics.answered(policy.name, this.route);
        return { kind: 'answer', policy: policy.name, answer: interception, filter: nested(filters) };
      }
      if (interception.kind === 'failed') return interception;
      if (interception.filter !== null) filters.push(interception.filter);
    }
    this.#accepted.outgoing.filter = nested(filters);
    return forward;
  }

  get #changesHead(): boolean {
    return this.#chain.answering.length > 0 || this.#add !== null;
  }

  /** The headers to send where the answer would have these. */
  answering(head: AnswerHead): readonly string[] {
    let { rawHeaders } = head;
    for (const policy of this.#chain.answering) {
      rawHeaders = policy.answering!(this.#request, { status: head.status, rawHeaders });
    }
    return this.#add === null ? rawHeaders : [...rawHeaders, ...this.#add];
  }

  readonly #filterHead: AnswerFilter = (head) => ({ rawHeaders: this.answering(head), through: [] });

  /** The request is over, however it ended. */
  over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#overs !== null) for (const over of this.#overs) over();
  }
}
