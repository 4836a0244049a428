import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Accept, Accepted } from '../accept/accept.ts';
import { type Refusal, refuse, refuseAndClose } from '../accept/refusal.ts';
import type { Account, AttemptRecord, RequestOutcome } from '../account/account.ts';
import { answerProblem, answerRefusal, type OwnAnswer } from '../answer-problem.ts';
import type { Decide, Decision } from '../decide/decision.ts';
import type { AnswerHead } from '../forward/answer-filter.ts';
import { disclosedHeaders } from '../forward/disclosed-headers.ts';
import type { Sign } from '../forward/sign-requests.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { Entry, Passage } from '../gateway/passage.ts';
import { giveUpAnswer, noInstanceAnswer } from '../retry/next-attempt.ts';
import { tryInstances } from '../retry/try-instances.ts';
import type { Upstreams } from '../upstream/upstream.ts';
import { responseOn, shakeHands } from './handshake.ts';
import { joinTunnel, type Tunnel } from './tunnel.ts';

export type UpgradeLimits = {
  /** From the request to the upstream's answer. Default 10 s. */
  handshakeTimeoutMs: number;
  /** Connections upgraded and open, or in their handshake. Default 4,096. */
  maxTunnels: number;
};

export const defaultUpgradeLimits: UpgradeLimits = { handshakeTimeoutMs: 10_000, maxTunnels: 4_096 };

export type UpgradeHandlerParts = {
  accept: Accept;
  /** Null where no policies are configured. */
  gateway: Pick<Gateway, 'enter'> | null;
  decide: Decide;
  upstreams: Upstreams;
  account: Account;
  /** Shows a service who sends it the handshake. */
  sign: Sign;
  limits: UpgradeLimits;
  /** Milliseconds that only grow. Default `performance.now`. */
  nowMs?: () => number;
};

export type UpgradeHandler = {
  /** The server's `upgrade`; the only listener for it there may be. */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Connections upgraded and open, or in their handshake. */
  open(): number;
  /** Ends every open connection on both sides, and cuts those that do not end within `cutAfterMs`. */
  endAll(cutAfterMs: number): void;
};

/** The way of a WebSocket: the same as that of a request, but that at its end two connections are joined. */
export function createUpgradeHandler(parts: UpgradeHandlerParts): UpgradeHandler {
  const { accept, gateway, decide, upstreams, account, sign, limits, nowMs = () => performance.now() } = parts;
  const tunnels = new Set<Tunnel>();
  let open = 0;

  function upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const startedMs = nowMs();
    socket.on('error', () => socket.destroy());
    open += 1;
    const accepted = open > limits.maxTunnels ? tooManyTunnels(limits) : acceptUpgrade(req);
    const attempts: AttemptRecord[] = [];
    let passage: Passage | null = null;
    const end = (decision: Decision | null, outcome: RequestOutcome) => {
      open -= 1;
      passage?.over();
      const known = accepted.kind === 'accepted' ? accepted : null;
      account.finished({
        protocol: 'websocket',
        method: req.method ?? '',
        requestId: known?.requestId ?? null,
        traceparent: known?.traceparent ?? null,
        parentSpanId: known?.parentSpanId,
        facts: known?.facts ?? null,
        decision,
        attempts,
        outcome,
        durationMs: nowMs() - startedMs,
      });
    };
    if (accepted.kind === 'refused') {
      answerRefusal(req, responseOn(req, socket), { ...accepted, connection: 'close' });
      end(null, { kind: 'refused', rule: accepted.rule, status: accepted.status });
      return;
    }
    let decision: Decision | null = null;
    const defect = (error: unknown) => {
      socket.destroy();
      end(decision, {
        kind: 'defect',
        message: error instanceof Error ? (error.stack ?? error.message) : `${error}`,
        status: 500,
      });
    };
    const proceed = () => {
      decision = decide(accepted.facts);
      connect(req, socket, head, accepted, decision, attempts).then((outcome) => end(decision, outcome), defect);
    };
    const refuseAtGateway = (policy: string, refusal: OwnAnswer) => {
      const answering = passage === null ? null : (head: AnswerHead) => passage!.answering(head);
      answerProblem(req, responseOn(req, socket), refusal, answering);
      end(null, { kind: 'gateway', policy, status: refusal.status });
    };
    const enter = (entry: Entry) => {
      if (socket.destroyed) end(null, { kind: 'client-aborted', error: 'client-aborted-response' });
      else if (entry.kind === 'refused') refuseAtGateway(entry.policy, entry.refusal);
      else proceed();
    };
    const met = gateway === null ? null : gateway.enter(accepted);
    if (met === null) proceed();
    else if (met.kind === 'misread') refuseAtGateway(met.policy, met.refusal);
    else {
      passage = met;
      const entry = met.check();
      if (entry instanceof Promise) entry.then(enter).catch(defect);
      else enter(entry);
    }
  }

  function acceptUpgrade(req: IncomingMessage): Accepted | Refusal {
    const accepted = accept(req);
    if (accepted.kind === 'refused' || accepted.outgoing.body.kind === 'none') return accepted;
    if (accepted.outgoing.body.kind === 'sized' && accepted.outgoing.body.bytes === 0) return accepted;
    return refuseAndClose('framing', 400, 'Ambiguous framing', 'Expected no body with a request to upgrade.');
  }

  /** Resolves when the connection, or the answer that came instead of it, is over. */
  async function connect(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    { outgoing }: Accepted,
    decision: Decision,
    attempts: AttemptRecord[],
  ): Promise<RequestOutcome> {
    let upstream: Duplex | null = null;
    const tried = await tryInstances({
      upstreams,
      decision,
      hasBody: false,
      attempts,
      tryOne: async (instance, side) => {
        const addToAnswer = disclosedHeaders(decision, side, instance);
        sign(outgoing, instance);
        const timeoutMs = limits.handshakeTimeoutMs;
        const handshake = await shakeHands({ req, socket, head, outgoing, addToAnswer, timeoutMs }, instance);
        upstream = handshake.upstream;
        return handshake.result;
      },
    });
    switch (tried.kind) {
      case 'answered':
        if (upstream !== null) await untilClosed(socket, upstream);
        return { kind: 'answered', status: tried.status };
      case 'client-aborted':
        return { kind: 'client-aborted', error: tried.error };
      case 'no-instance':
        answerProblem(req, responseOn(req, socket), noInstanceAnswer);
        return { kind: 'no-instance', why: tried.why, status: noInstanceAnswer.status };
      case 'gave-up': {
        const { error, phase } = tried.failure;
        if (phase === 'answering') return { kind: 'broken', error, status: 502 };
        const answer = giveUpAnswer(decision.access, error, phase);
        answerProblem(req, responseOn(req, socket), answer);
        return { kind: 'failed', error, status: answer.status };
      }
    }
  }

  function untilClosed(socket: Duplex, upstream: Duplex): Promise<void> {
    return new Promise((resolve) => {
      const tunnel = joinTunnel(socket, upstream, () => {
        tunnels.delete(tunnel);
        resolve();
      });
      tunnels.add(tunnel);
    });
  }

  return {
    upgrade,
    open: () => open,
    endAll(cutAfterMs) {
      for (const tunnel of tunnels) tunnel.end(cutAfterMs);
    },
  };
}

function tooManyTunnels({ maxTunnels }: UpgradeLimits): Refusal {
  return refuse('in-flight', 503, 'Too many connections', `${maxTunnels} upgraded connections are open.`, {
    'Retry-After': '5',
  });
}
