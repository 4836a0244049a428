import type { Log } from '@strangler/platform/log.ts';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { DiscoveryStatus } from '../discovery/discovery.ts';
import type { UpstreamEvent, UpstreamStatus } from '../upstream/upstream.ts';

/** Counts and logs what happens in the upstreams. */
export const createUpstreamAccount = (registry: Registry, log: Log): ((event: UpstreamEvent) => void) => {
  const events = new Counter({
    name: 'strangler_upstream_events_total',
    help: 'What happened in an upstream: instances that joined, left, were ejected or came back, its circuit, refusals by reason, requests lent to one whose checks fail.',
    labelNames: ['upstream', 'event', 'why'],
    registers: [registry],
  });
  return (event) => {
    const why = event.kind === 'refused' ? event.why : event.kind === 'ejected' ? event.cause : '';
    events.inc({ upstream: event.upstream, event: event.kind, why });
    const { kind, ...facts } = event;
    if (kind === 'released-twice') log.error(facts, 'a lease was released twice');
    else if (kind === 'ejected' || kind === 'opened') log.warn(facts, `upstream: ${kind}`);
    // These come by the thousand when an upstream is down; they are counted, and each request logs its own.
    else if (kind !== 'refused' && kind !== 'lent-critical') log.info(facts, `upstream: ${kind}`);
  };
};

/** Gauges read when somebody asks for the metrics. */
export const exposeUpstreams = (
  registry: Registry,
  upstreams: () => UpstreamStatus[],
  discovery: () => DiscoveryStatus[],
): void => {
  // `combine` says how the figures of several workers become one: each has its own requests, all look at the same instances.
  const gauge = (
    name: string,
    help: string,
    { labels, combine }: { labels: string[]; combine: 'sum' | 'max' },
    collect: (gauge: Gauge) => void,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames: labels,
      registers: [registry],
      aggregator: combine,
      collect() {
        this.reset();
        collect(this);
      },
    });
  };
  gauge(
    'strangler_upstream_in_flight',
    'Requests that an upstream has not answered yet.',
    { labels: ['upstream'], combine: 'sum' },
    (metric) => {
      for (const { name, inFlight } of upstreams()) metric.set({ upstream: name }, inFlight);
    },
  );
  gauge(
    'strangler_upstream_concurrency_limit',
    'Requests that may be under way at an upstream.',
    { labels: ['upstream'], combine: 'sum' },
    (metric) => {
      for (const { name, maxConcurrent } of upstreams()) metric.set({ upstream: name }, maxConcurrent);
    },
  );
  gauge(
    'strangler_upstream_instances',
    'Instances of an upstream, by state.',
    { labels: ['upstream', 'state'], combine: 'max' },
    (metric) => {
      for (const { name, instances } of upstreams())
        for (const { state } of instances) metric.inc({ upstream: name, state });
    },
  );
  gauge(
    'strangler_upstream_circuit_open',
    '1 while the circuit is not closed.',
    { labels: ['upstream'], combine: 'max' },
    (metric) => {
      for (const { name, circuit } of upstreams()) metric.set({ upstream: name }, circuit === 'closed' ? 0 : 1);
    },
  );
  gauge(
    'strangler_discovery_stale_seconds',
    'How long discovery has not answered for a service.',
    { labels: ['service'], combine: 'max' },
    (metric) => {
      for (const { service, staleForMs } of discovery()) metric.set({ service }, staleForMs / 1000);
    },
  );
  gauge(
    'strangler_discovery_refused_instances',
    'Announced instances that were not accepted, by why.',
    { labels: ['service', 'why'], combine: 'max' },
    (metric) => {
      for (const { service, refused } of discovery()) {
        metric.set({ service, why: 'outside-allowed-networks' }, refused.outsideAllowedNetworks);
        metric.set({ service, why: 'bad-address' }, refused.badAddress);
      }
    },
  );
};
