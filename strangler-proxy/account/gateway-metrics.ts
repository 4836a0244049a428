import { Counter, Gauge, type Registry } from 'prom-client';

/** What is counted of the gateway's policies. Names and routes come from the gateway file, so their number has a bound. */
export type GatewayMetrics = {
  refused(policy: string, route: string, status: number): void;
  /** Answered in place of an upstream. */
  answered(policy: string, route: string): void;
  /** A policy went on without what it relies on, in its own way: `why` is from a closed set. */
  degraded(policy: string, why: string): void;
  loaded(what: 'gateway' | 'keys' | 'certificate', outcome: 'loaded' | 'refused'): void;
  inFlight(policy: string, route: string, count: number): void;
};

export const createGatewayMetrics = (registry: Registry): GatewayMetrics => {
  const refusals = new Counter({
    name: 'strangler_gateway_refusals_total',
    help: 'Requests that a policy refused, by policy, route of the gateway file and status.',
    labelNames: ['policy', 'route', 'status'],
    registers: [registry],
  });
  const answers = new Counter({
    name: 'strangler_gateway_answers_total',
    help: 'Requests that a policy answered in place of an upstream, by policy and route of the gateway file.',
    labelNames: ['policy', 'route'],
    registers: [registry],
  });
  const degraded = new Counter({
    name: 'strangler_gateway_degraded_total',
    help: 'Times that a policy went on without what it relies on, by policy and what it had to do without.',
    labelNames: ['policy', 'why'],
    registers: [registry],
  });
  const loads = new Counter({
    name: 'strangler_gateway_loads_total',
    help: 'Times that files of the gateway were read anew, or refused and the last good ones kept.',
    labelNames: ['what', 'outcome'],
    registers: [registry],
  });
  const inFlight = new Gauge({
    name: 'strangler_gateway_in_flight',
    help: 'Requests under way that a policy counts, by policy and route of the gateway file.',
    labelNames: ['policy', 'route'],
    registers: [registry],
  });
  return {
    refused: (policy, route, status) => refusals.inc({ policy, route, status }),
    answered: (policy, route) => answers.inc({ policy, route }),
    degraded: (policy, why) => degraded.inc({ policy, why }),
    loaded: (what, outcome) => loads.inc({ what, outcome }),
    inFlight: (policy, route, count) => inFlight.set({ policy, route }, count),
  };
};
