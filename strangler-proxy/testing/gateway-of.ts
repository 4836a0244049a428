import type { GatewayMetrics } from '../account/gateway-metrics.ts';
import type { Gateway } from '../gateway/gateway.ts';
import { Passage } from '../gateway/passage.ts';
import type { Policy } from '../gateway/policy.ts';
import { buildChains } from '../gateway/route-chains.ts';

/** A count of what would be metrics, one text an event: `refused ip GET /a 403`. */
export const countedMetrics = (): GatewayMetrics & { events: string[] } => {
  const events: string[] = [];
  const note =
    (what: string) =>
    (...words: readonly (string | number)[]): void =>
      void events.push([what, ...words].join(' '));
  return {
    events,
    refused: note('refused'),
    answered: note('answered'),
    degraded: note('degraded'),
    loaded: note('loaded'),
    inFlight: note('in-flight'),
  };
};

/** A gateway with these policies, in this order, on every route. */
export const gatewayOf = (
  policies: readonly Policy[],
  metrics: GatewayMetrics = countedMetrics(),
): Pick<Gateway, 'enter'> => {
  const find = buildChains(
    [{ route: '* /*', policies: policies.map(({ name }) => name) }],
    (name) => policies.find((one) => one.name === name)!,
  );
  return {
    enter(accepted) {
      const chain = find(accepted.facts.method, accepted.facts.path);
      return chain === null ? null : new Passage(chain, accepted, metrics);
    },
  };
};
