import { Counter, Gauge, type Registry } from 'prom-client';

/** What a server counts of itself. */
export type ServerMetrics = {
  connections(open: number): void;
  /** A connection above the limit was closed, because every other was busy. */
  dropped(): void;
  /** An idle connection was closed for a new one. */
  evicted(): void;
  /** A request above the limit was answered 503. */
  shed(): void;
  /** What came was not HTTP as we take it. */
  clientError(status: number): void;
  /** Requests and upgraded connections that draining did not wait for. */
  cut(requests: number): void;
};

/** Without a registry nothing is counted. Servers of one program share the metrics, told apart by label `server`. */
export function createServerMetrics(registry: Registry | undefined, server: string): ServerMetrics {
  if (registry === undefined) {
    const nothing = () => {};
    return {
      connections: nothing,
      dropped: nothing,
      evicted: nothing,
      shed: nothing,
      clientError: nothing,
      cut: nothing,
    };
  }
  const counter = (name: string, help: string, more: string[] = []) =>
    (registry.getSingleMetric(name) as Counter | undefined) ??
    new Counter({ name, help, labelNames: ['server', ...more], registers: [registry] });
  const open =
    (registry.getSingleMetric('http_connections_open') as Gauge | undefined) ??
    new Gauge({
      name: 'http_connections_open',
      help: 'Open connections.',
      labelNames: ['server'],
      registers: [registry],
    });
  const dropped = counter('http_connections_dropped_total', 'Connections closed because there were too many.');
  const evicted = counter('http_connections_evicted_total', 'Idle connections closed for new ones.');
  const shed = counter('http_requests_shed_total', 'Requests answered 503 because too many were in flight.');
  const clientErrors = counter('http_client_errors_total', 'Requests that could not be read, by answer.', ['status']);
  const cut = counter('http_drain_cut_total', 'Requests cut because the grace time had passed.');
  return {
    connections: (count) => open.set({ server }, count),
    dropped: () => dropped.inc({ server }),
    evicted: () => evicted.inc({ server }),
    shed: () => shed.inc({ server }),
    clientError: (status) => clientErrors.inc({ server, status: `${status}` }),
    cut: (requests) => cut.inc({ server }, requests),
  };
}
