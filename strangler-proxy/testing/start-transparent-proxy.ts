import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAccept } from '../accept/accept.ts';
import { trustPeers } from '../accept/client-identity.ts';
import { defaultLimits, type Limits } from '../accept/limits.ts';
import { operatorTokens } from '../accept/operator.ts';
import type { Finished } from '../account/account.ts';
import type { Decide, Decision } from '../decide/decision.ts';
import type { ForwardTimes } from '../forward/attempt.ts';
import { createForward } from '../forward/hpm-forward.ts';
import type { AgentLimits } from '../forward/upstream-agent.ts';
import { createRequestHandler } from '../request-handler.ts';
import type { Instance, Outcome, Upstream, Upstreams } from '../upstream/upstream.ts';

export type StartOptions = {
  origins?: string[];
  serviceOrigins?: string[];
  limits?: Partial<Limits>;
  times?: Partial<ForwardTimes>;
  agent?: Partial<AgentLimits>;
  trusted?: string[];
  operatorToken?: string;
  decide?: Decide;
};

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A decision for a request that no slice claims. */
export const toMonolith: Decide = ({ method }) => ({ ...plainDecision, access: safeMethods.has(method) ? 'read' : 'write' });

export const plainDecision: Decision = {
  side: 'monolith',
  reason: 'no-slice',
  access: 'read',
  slice: null,
  service: null,
  route: null,
  monolithMayServe: false,
  epoch: null,
  setCookie: null,
  disclose: false,
};
