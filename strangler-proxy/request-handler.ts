import type { IncomingMessage, ServerResponse } from 'node:http';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import type { Accept, Accepted } from './accept/accept.ts';
import { type Limits, tooManyInFlight } from './accept/limits.ts';
import type { Account, AttemptRecord, RequestOutcome } from './account/account.ts';
import { answerProblem, answerRefusal } from './answer-problem.ts';
import type { Decide, Decision } from './decide/decision.ts';
import { disclosedHeaders } from './forward/disclosed-headers.ts';
import type { Forward } from './forward/forwarder.ts';
import { giveUpAnswer, heldAnswer, noInstanceAnswer } from './retry/next-attempt.ts';
import { type Tried, tryInstances } from './retry/try-instances.ts';
import type { Upstreams } from './upstream/upstream.ts';

export type RequestHandlerParts = {
  accept: Accept;
  decide: Decide;
  upstreams: Upstreams;
  forward: Forward;
  account: Account;
  limits: Limits;
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
  decision: Decision | null;
  attempts: AttemptRecord[];
};

/** The way of a request: accept, decide, wait for its turn, forward to one instance or another, answer, account. */
export function createRequestHandler(parts: RequestHandlerParts): RequestHandler {
  const { accept, decide, upstreams, forward, account, limits, nowMs = () => performance.now() } = parts;
  let inFlight = 0;

  function begin(req: IncomingMessage, res: ServerResponse, clientAwaitsContinue: boolean): void {
    const way: Way = { req, res, startedMs: nowMs(), accepted: null, decision: null, attempts: [] };
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
      const decision = decide(accepted.facts);
      way.decision = decision;
      if (decision.reason === 'held') {
        answerProblem(req, res, heldAnswer);
        end(way, { kind: 'held', status: heldAnswer.status });
        return;
      }
      inTurn(way, () => {
        serve(way, accepted, decision).catch((error: unknown) => defect(way, error));
      });
    } catch (error) {
      defect(way, error);
    }
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
      proceed();
    });
  }

  async function serve(way: Way, accepted: Accepted, decision: Decision): Promise<void> {
    const { req, res, attempts } = way;
    const { outgoing } = accepted;
    if (decision.access === 'write' && decision.epoch !== null) outgoing.headers[epochHeader] = `${decision.epoch}`;
    const hasBody = outgoing.body.kind !== 'none';
    const monolithCouldServe = decision.monolithMayServe && !hasBody;
    const tried = await tryInstances({
      upstreams,
      decision,
      hasBody,
      attempts,
      tryOne: (instance, side) => {
        const patience = side === 'service' && monolithCouldServe ? 'short' : 'usual';
        return forward(req, res, outgoing, instance, disclosedHeaders(decision, side, instance), patience);
      },
    });
    end(way, conclude(way, decision, tried));
  }

  /** Answers where no upstream has, and says how the request ended. */
  function conclude({ req, res }: Way, decision: Decision, tried: Tried): RequestOutcome {
    switch (tried.kind) {
      case 'answered':
        return { kind: 'answered', status: tried.status };
      case 'client-aborted':
        return { kind: 'client-aborted', error: tried.error };
      case 'no-instance':
        answerProblem(req, res, noInstanceAnswer);
        return { kind: 'no-instance', why: tried.why, status: noInstanceAnswer.status };
      case 'gave-up': {
        const { error, phase } = tried.failure;
        if (phase === 'answering') return { kind: 'broken', error, status: res.statusCode };
        const answer = giveUpAnswer(decision.access, error, phase);
        answerProblem(req, res, answer);
        return { kind: 'failed', error, status: answer.status };
      }
    }
  }

  /** No request may take the others down with it. */
  function defect(way: Way, error: unknown): void {
    const { req, res } = way;
    if (res.headersSent) res.destroy();
    else answerProblem(req, res, defectAnswer);
    end(way, {
      kind: 'defect',
      message: error instanceof Error ? (error.stack ?? error.message) : `${error}`,
      status: 500,
    });
  }

  function end(way: Way, outcome: RequestOutcome): void {
    inFlight -= 1;
    const { req, accepted, decision, attempts } = way;
    account.finished({
      protocol: 'http',
      method: req.method ?? '',
      requestId: accepted?.requestId ?? null,
      traceparent: accepted?.traceparent ?? null,
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
