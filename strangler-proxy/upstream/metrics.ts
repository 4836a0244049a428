import { Counter, Gauge, type Registry } from 'prom-client';
import type { Discovery } from '../discovery/discovery.ts';
import type { UpstreamEvent, UpstreamStatus } from './upstream.ts';

/**
 * Counts what happens in the upstreams: give the returned function to `createUpstreams` as `onEvent`. Labels are the names
 * of upstreams and closed sets of words; instances are not labels, as their ids come and go with every deployment.
 */
export function countUpstreamEvents(registry: Registry): (event: UpstreamEvent) => void {
  const registers = [registry];
  const ejections = new Counter({
    name: 'upstream_ejections_total',
    help: 'Instances left out after failures, by what the last failure was.',
    labelNames: ['upstream', 'cause'],
    registers,
  });
  const refusals = new Counter({
    name: 'upstream_refusals_total',
    help: 'Requests for which no instance was lent, by why.',
    labelNames: ['upstream', 'why'],
    registers,
  });
  const changes = new Counter({
    name: 'upstream_changes_total',
    help: 'Instances that joined, left or returned from ejection, and circuits that opened, half-opened or closed.',
    labelNames: ['upstream', 'change'],
    registers,
  });
  return (event) => {
    const { upstream } = event;
    if (event.kind === 'ejected') ejections.inc({ upstream, cause: event.cause });
    else if (event.kind === 'refused') refusals.inc({ upstream, why: event.why });
    else changes.inc({ upstream, change: event.kind });
  };
}

const circuits = ['closed', 'half-open', 'open'] as const;
const states = ['healthy', 'ejected', 'probing', 'draining'] as const;

/** Shows the upstreams and their sources as they are when the registry is read. */
export function showUpstreams(
  registry: Registry,
  upstreams: { status(): UpstreamStatus[] },
  discovery: Pick<Discovery, 'status'>,
): void {
  const gauge = (name: string, help: string, labelNames: string[], collect: (to: Gauge) => void): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        collect(this);
      },
    });
  };

  gauge('upstream_leases', 'Requests under way.', ['upstream'], (to) => {
    for (const { name, inFlight } of upstreams.status()) to.set({ upstream: name }, inFlight);
  });
  gauge('upstream_leases_max', 'The bound of requests under way.', ['upstream'], (to) => {
    for (const { name, maxConcurrent } of upstreams.status()) to.set({ upstream: name }, maxConcurrent);
  });
  gauge('upstream_circuit', '1 for the state that the circuit is in.', ['upstream', 'state'], (to) => {
    for (const { name, circuit } of upstreams.status()) {
      for (const state of circuits) to.set({ upstream: name, state }, state === circuit ? 1 : 0);
    }
  });
  gauge('upstream_instances', 'Instances, by state.', ['upstream', 'state'], (to) => {
    for (const { name, instances } of upstreams.status()) {
      for (const state of states) {
        to.set({ upstream: name, state }, instances.filter((instance) => instance.state === state).length);
      }
    }
  });
  gauge('discovery_stale_seconds', 'How long the source of instances has been away.', ['upstream'], (to) => {
    for (const { service, staleForMs } of discovery.status()) to.set({ upstream: service }, staleForMs / 1000);
  });
  gauge(
    'discovery_refused_instances',
    'Announced instances that were refused since the watch began.',
    ['upstream', 'why'],
    (to) => {
      for (const { service, refused } of discovery.status()) {
        to.set({ upstream: service, why: 'outside-allowed-networks' }, refused.outsideAllowedNetworks);
        to.set({ upstream: service, why: 'bad-address' }, refused.badAddress);
      }
    },
  );
}
