import type { Http2Limits } from '@strangler/platform/http/http2/sessions.ts';
import { startHttpServer } from '@strangler/platform/http/server.ts';
import { createLog } from '@strangler/platform/log.ts';
import type { Registry } from 'prom-client';
import { createAccept } from '../accept/accept.ts';
import { trustPeers } from '../accept/client-identity.ts';
import { defaultLimits, type Limits } from '../accept/limits.ts';
import { operatorTokens } from '../accept/operator.ts';
import type { Finished } from '../account/account.ts';
import type { Decide, Decision } from '../decide/decision.ts';
import type { OwnWrites } from '../decide/own-writes.ts';
import type { ForwardTimes } from '../forward/attempt.ts';
import { createForward } from '../forward/forward.ts';
import { defaultAgentLimits } from '../forward/upstream-agent.ts';
import type { Gateway } from '../gateway/gateway.ts';
import { createWriteGate, type WriteGate } from '../hold/write-gate.ts';
import { createRequestHandler } from '../request-handler.ts';
import type { Shadow } from '../shadow/shadow.ts';
import { createUpgradeHandler, defaultUpgradeLimits } from '../upgrade/upgrade-handler.ts';
import type { Instance, Outcome, Upstream, Upstreams } from '../upstream/upstream.ts';

/** What a test may want to be other than it is by default; every way to start a proxy must honour all of it. */
export type ProxyWishes = {
  /** `http://127.0.0.1:port` of each instance of the monolith. */
  monolith: readonly string[];
  connectTimeoutMs?: number;
  answerTimeoutMs?: number;
  bodyIdleTimeoutMs?: number;
  clientIdleTimeoutMs?: number;
  handshakeTimeoutMs?: number;
  maxSockets?: number;
  maxBodyBytes?: number;
  maxHeaderBytes?: number;
  headersTimeoutMs?: number;
  keepAliveTimeoutMs?: number;
  trustedPeers?: readonly string[];
};

/** A proxy with no slices in front of some server, and how to be rid of it. */
export type StartedProxy = { port: number; close(): Promise<void> };
export type StartProxy = (wishes: ProxyWishes) => Promise<StartedProxy>;

/** Things that only a proxy within the test's own process can be asked for. */
export type InProcessWishes = ProxyWishes & {
  service?: readonly string[];
  /** Of the service too, and their checks fail. */
  critical?: readonly string[];
  decide?: Decide;
  /** Default: no policies. */
  gateway?: Pick<Gateway, 'enter'>;
  /** Default: one that is always open. */
  gate?: WriteGate;
  /** Default: nobody is kept to where they wrote. */
  ownWrites?: OwnWrites;
  /** Default: nothing is compared. */
  shadow?: Pick<Shadow, 'watch'>;
  operatorToken?: string;
  maxRequestsInFlight?: number;
  maxTunnels?: number;
  /** Default: plain HTTP/1.1. */
  tls?: { cert: string; key: string };
  http2?: Partial<Http2Limits>;
  requestTimeoutMs?: number;
  metrics?: Registry;
};

export type InProcessProxy = Omit<StartedProxy, 'close'> & {
  /** Waits this long for what is under way; default not at all. */
  close(graceMs?: number): Promise<void>;
  /** What was accounted for, oldest first. */
  finished: Finished[];
  /** What was told to the pools, by instance. */
  outcomes: { instance: string; outcome: Outcome }[];
  inFlight(): number;
  openTunnels(): number;
  endTunnels(cutAfterMs: number): void;
};

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A decision about a request that no slice claims. */
export const monolithDecision: Decision = {
  side: 'monolith',
  reason: 'no-slice',
  access: 'read',
  slice: null,
  service: null,
  route: null,
  monolithMayServe: false,
  epoch: null,
  changeId: null,
  ownWrite: null,
  setCookie: null,
  disclose: false,
};

const allToMonolith: Decide = ({ method }) =>
  safeMethods.has(method) ? monolithDecision : { ...monolithDecision, access: 'write' };

/** Starts the request handler and the upgrade handler within this process, without flags, discovery or workers. */
export async function startTransparentProxy(wishes: InProcessWishes): Promise<InProcessProxy> {
  const finished: Finished[] = [];
  const outcomes: InProcessProxy['outcomes'] = [];
  const account = { finished: (request: Finished) => void finished.push(request) };
  const upstreams = listedInstances(wishes.monolith, wishes.service ?? [], outcomes, wishes.critical);
  const decide = wishes.decide ?? allToMonolith;
  const limits: Limits = {
    ...defaultLimits,
    ...defined({
      maxBodyBytes: wishes.maxBodyBytes,
      maxHeaderBytes: wishes.maxHeaderBytes,
      maxRequestsInFlight: wishes.maxRequestsInFlight,
    }),
  };
  const times: Partial<ForwardTimes> = defined({
    connectTimeoutMs: wishes.connectTimeoutMs,
    answerTimeoutMs: wishes.answerTimeoutMs,
    bodyIdleTimeoutMs: wishes.bodyIdleTimeoutMs,
    clientIdleTimeoutMs: wishes.clientIdleTimeoutMs,
  });
  const accept = createAccept({
    limits,
    trusts: trustPeers(wishes.trustedPeers ?? []),
    isOperatorToken: operatorTokens(wishes.operatorToken ?? null),
  });
  const { forward, close: closeForward } = createForward({
    times,
    maxBodyBytes: limits.maxBodyBytes,
    agent: { maxSockets: wishes.maxSockets ?? defaultAgentLimits.maxSockets },
  });
  const gate =
    wishes.gate ??
    createWriteGate({
      bounds: { maxWaiting: 16, maxWaitMs: 5_000, releaseConcurrency: 4 },
      whenCutOff: 'hold',
      flagOf: () => undefined,
      account: { held() {}, ended() {} },
      onQuiet() {},
    });
  const gateway = wishes.gateway ?? null;
  const handler = createRequestHandler({
    accept,
    gateway,
    decide,
    upstreams,
    forward,
    gate,
    ownWrites: wishes.ownWrites ?? null,
    shadow: wishes.shadow ?? null,
    account,
    limits,
  });
  const upgrades = createUpgradeHandler({
    accept,
    gateway,
    decide,
    upstreams,
    account,
    sign: () => {},
    limits: {
      ...defaultUpgradeLimits,
      ...defined({ handshakeTimeoutMs: wishes.handshakeTimeoutMs, maxTunnels: wishes.maxTunnels }),
    },
  });
  const running = await startHttpServer({
    handler: handler.handle,
    onCheckContinue: handler.handleExpectingContinue,
    onUpgrade: upgrades.upgrade,
    ...defined({ tls: wishes.tls, http2: wishes.http2, metrics: wishes.metrics }),
    host: '127.0.0.1',
    port: 0,
    log: createLog({ name: 'proxy-under-test', level: 'silent' }),
    limits: defined({
      maxHeaderBytes: wishes.maxHeaderBytes,
      headersTimeoutMs: wishes.headersTimeoutMs,
      keepAliveTimeoutMs: wishes.keepAliveTimeoutMs,
      requestTimeoutMs: wishes.requestTimeoutMs,
    }),
  });
  return {
    port: running.port,
    finished,
    outcomes,
    inFlight: handler.inFlight,
    openTunnels: upgrades.open,
    endTunnels: upgrades.endAll,
    async close(graceMs = 0) {
      upgrades.endAll(0);
      await running.drain(graceMs);
      closeForward();
    },
  };
}

/** Lends the listed instances in their order, so that a test knows which one is asked first. */
export function listedInstances(
  monolith: readonly string[],
  service: readonly string[],
  outcomes: InProcessProxy['outcomes'],
  critical: readonly string[] = [],
): Upstreams {
  const upstream = (
    name: string,
    side: Instance['side'],
    { passing, critical = [] }: { passing: readonly string[]; critical?: readonly string[] },
  ): Upstream => {
    const instanceAt = (origin: string): Instance => ({ id: origin, side, service: name, origin });
    const passingOnes = passing.map(instanceAt);
    const criticalOnes = critical.map(instanceAt);
    return {
      name,
      acquire(exclude, _repeatability, resort) {
        const instances = passingOnes.length === 0 && resort === 'any' ? criticalOnes : passingOnes;
        const instance = instances.find(({ id }) => exclude?.has(id) !== true);
        if (instance === undefined) {
          return { kind: 'refused', why: instances.length === 0 ? 'no-instances' : 'all-tried' };
        }
        return {
          kind: 'leased',
          instance,
          release: (outcome) => void outcomes.push({ instance: instance.id, outcome }),
        };
      },
      status: () => ({ name, circuit: 'closed', inFlight: 0, maxConcurrent: 0, instances: [] }),
      close() {},
    };
  };
  const services = new Map([['catalog', upstream('catalog', 'service', { passing: service, critical })]]);
  const shop = upstream('monolith', 'monolith', { passing: monolith });
  return { monolith: () => shop, service: (name) => services.get(name) };
}

function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
