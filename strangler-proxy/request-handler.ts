import type { IncomingMessage, ServerResponse } from 'node:http';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import type { Accept, Accepted } from './accept/accept.ts';
import { type Limits, tooManyInFlight } from './accept/limits.ts';
import type { Account, AttemptRecord, RequestOutcome } from './account/account.ts';
import { answerProblem, answerRefusal, type OwnAnswer } from './answer-problem.ts';
import type { Decide, Decision } from './decide/decision.ts';
import type { OwnWrites } from './decide/own-writes.ts';
import { type AfterWrite, addToAnswer } from './forward/disclosed-headers.ts';
import type { Forward } from './forward/forwarder.ts';
import { KeptBody } from './forward/kept-body.ts';
import type { Gateway } from './gateway/gateway.ts';
import { createAskForClient } from './gateway/inner/ask-for-client.ts';
import type { Entry, Passage } from './gateway/passage.ts';
import { writeAnswer } from './gateway/write-answer.ts';
import { heldAnswers } from './hold/held-answers.ts';
import type { HoldRefusal, WaitingWrite, WriteGate } from './hold/write-gate.ts';
import type { WriteTicket } from './hold/writes-in-flight.ts';
import { giveUpAnswer, noInstanceAnswer } from './retry/next-attempt.ts';
import { type Tried, tryInstances } from './retry/try-instances.ts';
import type { Shadow, Watched } from './shadow/shadow.ts';
import type { Upstreams } from './upstream/upstream.ts';

export type RequestHandlerParts = {
  accept: Accept;
  /** Null where no policies are configured. */
  gateway: Pick<Gateway, 'enter'> | null;
  decide: Decide;
  upstreams: Upstreams;
  forward: Forward;
  gate: WriteGate;
  /** Null where nobody is kept to the side that took their writes. */
  ownWrites: Pick<OwnWrites, 'took'> | null;
  /** Null where nobody needs to be told of writes. */
  afterWrite?: AfterWrite | null;
  /** Null where no slice's answers are compared. */
  shadow: Pick<Shadow, 'watch'> | null;
  account: Account;
  limits: Limits;
  /** How long a client may leave an answer of a policy's unread, in ms. Default 60 s. */
  clientIdleTimeoutMs?: number;
  /** Milliseconds that only grow. Default `performance.now`. */
  nowMs?: () => number;
};

export type RequestHandler = {
  /** The server's `request`. */
  handle(req: IncomingMessage, res: ServerResponse): void;
  /** The server's `checkContinue`: the client waits for 100 before it sends its body, and gets it from the forwarder. */
  handleExpectingContinue(req: IncomingMessage, res: ServerResponse): void;
  /** Requests that have come and are not over yet. */
  inFlight(): number;
};

/** One request under way, and what is known of it so far. */
type Way = {
  req: IncomingMessage;
  res: ServerResponse;
  startedMs: number;
  accepted: Accepted | null;
  /** Past the policies of its route; null where none stand on it. */
  passage: Passage | null;
  decision: Decision | null;
  attempts: AttemptRecord[];
  /** A write of a slice that had to wait, as the gate knows it. */
  waited: WaitingWrite | null;
  /** A write of a slice from when it was decided about until it is over. */
  ticket: WriteTicket | null;
  /** It was refused for a stale epoch once; it is not sent a third time. */
  sentAnew: boolean;
  /** What its answer is to be compared for; null where it is not. */
  watched: Watched | null;
};

/**
 * The way of a request: accept, ask the policies, decide, wait for its turn, wait while its slice is held, forward to one instance or
 * another, answer, account.
 */
export function createRequestHandler(parts: RequestHandlerParts): RequestHandler {
  const {
    accept,
    gateway,
    decide,
    upstreams,
    forward,
    gate,
    ownWrites,
    afterWrite = null,
    shadow,
    account,
    limits,
    clientIdleTimeoutMs = 60_000,
    nowMs = () => performance.now(),
  } = parts;
  const askForClient = createAskForClient({ upstreams, forward, decide, shadow, gateway });
  let inFlight = 0;

  function begin(req: IncomingMessage, res: ServerResponse, clientAwaitsContinue: boolean): void {
    const way: Way = {
      req,
      res,
      startedMs: nowMs(),
      accepted: null,
      passage: null,
      decision: null,
      attempts: [],
      waited: null,
      ticket: null,
      sentAnew: false,
      watched: null,
    };
    inFlight += 1;
    try {
      const accepted = inFlight > limits.maxRequestsInFlight ? tooManyInFlight(limits) : accept(req);
      if (accepted.kind === 'refused') {
        answerRefusal(req, res, accepted);
        end(way, { kind: 'refused', rule: accepted.rule, status: accepted.status });
        return;
      }
      accepted.outgoing.clientAwaitsContinue = clientAwaitsContinue;
      way.accepted = accepted;
      const passage = gateway === null ? null : gateway.enter(accepted);
      if (passage === null) proceed(way, accepted);
      else if (passage.kind === 'misread') refuseAtGateway(way, passage.policy, passage.refusal);
      else askPolicies(way, accepted, passage);
    } catch (error) {
      defect(way, error);
    }
  }

  function askPolicies(way: Way, accepted: Accepted, passage: Passage): void {
    way.passage = passage;
    const entry = passage.check();
    if (entry instanceof Promise) {
      entry.then((told) => enter(way, accepted, told)).catch((error: unknown) => defect(way, error));
    } else enter(way, accepted, entry);
  }

  function enter(way: Way, accepted: Accepted, entry: Entry): void {
    const { req, res } = way;
    if (res.destroyed || req.socket.destroyed) {
      end(way, { kind: 'client-aborted', error: req.complete ? 'client-aborted-response' : 'client-aborted-request' });
    } else if (entry.kind === 'refused') refuseAtGateway(way, entry.policy, entry.refusal);
    else proceed(way, accepted);
  }

  function refuseAtGateway(way: Way, policy: string, refusal: OwnAnswer): void {
    tell(way, refusal);
    end(way, { kind: 'gateway', policy, status: refusal.status });
  }

  /** An answer of the proxy's own. */
  function tell({ req, res, passage }: Way, answer: OwnAnswer): void {
    answerProblem(req, res, answer, passage === null ? null : (head) => passage.answering(head));
  }

  function proceed(way: Way, accepted: Accepted): void {
    way.decision = decide(accepted.facts);
    inTurn(way, () => pass(way, accepted));
  }

  /** RFC 9112 §9.3.2: a pipelined request waits for the one before it, which may be a write that it builds on. */
  function inTurn(way: Way, proceed: () => void): void {
    const { res } = way;
    if (res.socket !== null) {
      proceed();
      return;
    }
    const gone = () => end(way, { kind: 'client-aborted', error: 'client-aborted-request' });
    res.once('close', gone);
    res.once('socket', () => {
      res.off('close', gone);
      // The owner may be another by now.
      decideAnew(way, proceed);
    });
  }

  function decideAnew(way: Way, proceed: () => void): void {
    try {
      way.decision = decide(way.accepted!.facts);
      proceed();
    } catch (error) {
      defect(way, error);
    }
  }

  /** Sends a request on, unless it is a write of a slice whose writes must wait. */
  function pass(way: Way, accepted: Accepted): void {
    const { slice, access } = way.decision!;
    if (slice === null || access === 'read' || gate.passes(slice)) send(way, accepted);
    else wait(way, accepted, slice);
  }

  /** Waits with the body unread in its socket. Everything that was decided is decided anew when the wait is over. */
  function wait(way: Way, accepted: Accepted, slice: string): void {
    const { req, res } = way;
    const gone = () => {
      gate.leave(slice, waiting);
      way.waited = null;
      end(way, { kind: 'client-aborted', error: req.complete ? 'client-aborted-response' : 'client-aborted-request' });
    };
    const waiting: WaitingWrite = {
      place: null,
      go() {
        res.off('close', gone);
        decideAnew(way, () => send(way, accepted));
      },
      refuse(why) {
        res.off('close', gone);
        refuseHeld(way, why);
      },
    };
    way.waited = waiting;
    res.once('close', gone);
    gate.wait(slice, waiting);
  }

  function refuseHeld(way: Way, why: HoldRefusal | 'stale-epoch'): void {
    const answer = heldAnswers[why];
    tell(way, answer);
    end(way, { kind: 'held', why, status: answer.status });
  }

  function send(way: Way, accepted: Accepted): void {
    const decision = way.decision!;
    if (decision.reason === 'held') {
      refuseHeld(way, 'deadline');
      return;
    }
    if (decision.slice !== null && decision.access === 'write') {
      way.ticket = gate.begin(decision.slice, decision.side, decision.epoch, `${way.req.method} ${decision.route}`);
      if (decision.side === 'service' && !way.sentAnew) accepted.outgoing.kept = new KeptBody();
    }
    serve(way, accepted, decision).catch((error: unknown) => defect(way, error));
  }

  async function serve(way: Way, accepted: Accepted, decision: Decision): Promise<void> {
    const { req, res, attempts } = way;
    const { outgoing } = accepted;
    if (decision.access === 'write' && decision.epoch !== null) outgoing.headers[epochHeader] = `${decision.epoch}`;
    else if (way.sentAnew) delete outgoing.headers[epochHeader];
    if (way.passage?.intercepts && !way.sentAnew) {
      const answered = await intercept(way, way.passage, accepted, decision);
      if (answered) return;
    }
    // What is sent anew has no body left to be copied.
    if (shadow !== null && !way.sentAnew) watch(way, shadow, accepted, decision);
    const hasBody = outgoing.body.kind !== 'none';
    const monolithCouldServe = decision.monolithMayServe && !hasBody;
    const tried = await tryInstances({
      upstreams,
      decision,
      hasBody,
      attempts,
      tryOne: (instance, side) => {
        outgoing.tap?.sentTo(side);
        const patience = side === 'service' && monolithCouldServe ? 'short' : 'usual';
        return forward(
          req,
          res,
          outgoing,
          instance,
          addToAnswer(decision, side, instance, accepted, ownWrites, afterWrite),
          patience,
        );
      },
    });
    unwatch(way, accepted, tried.kind === 'answered' && tried.staleEpoch === undefined);
    if (tried.kind === 'answered' && tried.staleEpoch !== undefined) sendAnew(way, accepted, decision);
    else end(way, conclude(way, decision, tried), tried.kind === 'answered' ? tried.over : undefined);
  }

  /** Whether a policy has answered in place of an upstream. */
  async function intercept(way: Way, passage: Passage, accepted: Accepted, decision: Decision): Promise<boolean> {
    const { req, res, attempts } = way;
    const met = await passage.intercept({ req, res, decision, ...askForClient(accepted, decision, attempts) });
    if (met.kind === 'forward') return false;
    if (met.kind === 'failed') {
      end(way, conclude(way, decision, met.tried));
      return true;
    }
    const { settled, head } = met.answer;
    const { status } = head;
    const sticky = decision.setCookie === null ? [] : ['Set-Cookie', decision.setCookie];
    const answer = { ...met.answer, head: { status, rawHeaders: [...head.rawHeaders, ...sticky] } };
    const written = await writeAnswer(req, res, answer, met.filter, clientIdleTimeoutMs);
    // Its attempts are accounted for as the request's, and are known when it is over.
    await settled?.catch(() => {});
    if (written === 'answered' && settled !== undefined) end(way, { kind: 'answered', status });
    else if (written === 'answered') end(way, { kind: 'gateway', policy: met.policy, status });
    else if (written === 'broken') end(way, { kind: 'broken', error: 'upstream-body-broken', status });
    else end(way, { kind: 'client-aborted', error: 'client-aborted-response' });
    return true;
  }

  function watch(way: Way, { watch }: Pick<Shadow, 'watch'>, accepted: Accepted, decision: Decision): void {
    way.watched = watch(accepted, decision);
    accepted.outgoing.tap = way.watched?.tap ?? null;
  }

  function unwatch(way: Way, { outgoing }: Accepted, answered: boolean): void {
    if (way.watched === null) return;
    way.watched.over(answered);
    way.watched = null;
    outgoing.tap = null;
  }

  /** The owner refused a write that was sent under an epoch which is over. Nothing was done, so it may be sent again. */
  function sendAnew(way: Way, accepted: Accepted, { epoch }: Decision): void {
    const { outgoing } = accepted;
    letOthersGo(way);
    if (way.res.destroyed) {
      end(way, { kind: 'client-aborted', error: 'client-aborted-response' });
      return;
    }
    const isHere = outgoing.body.kind === 'none' || outgoing.kept?.whole === true;
    decideAnew(way, () => {
      // Where nothing newer is known here either, or what was sent is gone, it is the client's to try again.
      if (way.sentAnew || !isHere || (way.decision!.epoch ?? 0) <= (epoch ?? 0)) {
        refuseHeld(way, 'stale-epoch');
        return;
      }
      way.sentAnew = true;
      pass(way, accepted);
    });
  }

  /** The write counts no longer as under way, and makes room for the next that waits. */
  function letOthersGo(way: Way): void {
    const { waited, ticket, decision } = way;
    way.waited = null;
    way.ticket = null;
    ticket?.end();
    if (waited !== null && decision?.slice != null) gate.finished(decision.slice, waited);
  }

  /** Answers where no upstream has, and says how the request ended. */
  function conclude(way: Way, decision: Decision, tried: Tried): RequestOutcome {
    switch (tried.kind) {
      case 'answered':
        return { kind: 'answered', status: tried.status };
      case 'client-aborted':
        return { kind: 'client-aborted', error: tried.error };
      case 'no-instance':
        tell(way, noInstanceAnswer);
        return { kind: 'no-instance', why: tried.why, status: noInstanceAnswer.status };
      case 'gave-up': {
        const { error, phase } = tried.failure;
        if (phase === 'answering') return { kind: 'broken', error, status: way.res.statusCode };
        const answer = giveUpAnswer(decision.access, error, phase);
        tell(way, answer);
        return { kind: 'failed', error, status: answer.status };
      }
    }
  }

  /** No request may take the others down with it. */
  function defect(way: Way, error: unknown): void {
    const { res, accepted } = way;
    if (accepted !== null) unwatch(way, accepted, false);
    if (res.headersSent) res.destroy();
    else tell(way, defectAnswer);
    end(way, {
      kind: 'defect',
      message: error instanceof Error ? (error.stack ?? error.message) : `${error}`,
      status: 500,
    });
  }

  /** `over`: the answer is whole, but what the client sent is still on its way to the upstream until then. */
  function end(way: Way, outcome: RequestOutcome, over?: Promise<void>): void {
    inFlight -= 1;
    way.passage?.over();
    if (over === undefined) letOthersGo(way);
    else void over.then(() => letOthersGo(way));
    const { req, accepted, decision, attempts } = way;
    account.finished({
      protocol: 'http',
      method: req.method ?? '',
      requestId: accepted?.requestId ?? null,
      traceparent: accepted?.traceparent ?? null,
      parentSpanId: accepted?.parentSpanId,
      facts: accepted?.facts ?? null,
      decision,
      attempts,
      outcome,
      durationMs: nowMs() - way.startedMs,
    });
  }

  return {
    handle: (req, res) => begin(req, res, false),
    handleExpectingContinue: (req, res) => begin(req, res, true),
    inFlight: () => inFlight,
  };
}

const defectAnswer = {
  status: 500,
  title: 'Internal server error',
  detail: 'Something went wrong in the proxy.',
  headers: {},
};
