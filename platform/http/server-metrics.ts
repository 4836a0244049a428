import { Counter, Gauge, type Registry } from 'prom-client';
import type { SessionEnd } from './http2/sessions.ts';

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
  request(protocol: HttpProtocol): void;
  /** Open connections that speak HTTP/2. */
  http2Sessions(open: number): void;
  /** A connection in HTTP/2 was ended here. */
  http2Ended(why: SessionEnd): void;
  /** A request in HTTP/2 was ended because its client let it stand still. */
  http2Stalled(): void;
};

export type HttpProtocol = 'http/1' | 'h2';

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
      request: nothing,
      http2Sessions: nothing,
      http2Ended: nothing,
      http2Stalled: nothing,
    };
  }
  const counter = (name: string, help: string, more: string[] = []) =>
    (registry.getSingleMetric(name) as Counter | undefined) ??
    new Counter({ name, help, labelNames: ['server', ...more], registers: [registry] });
  const gauge = (name: string, help: string) =>
    (registry.getSingleMetric(name) as Gauge | undefined) ??
    new Gauge({ name, help, labelNames: ['server'], registers: [registry] });
  const open = gauge('http_connections_open', 'Open connections.');
  const sessions = gauge('http2_connections_open', 'Open connections that speak HTTP/2.');
  const dropped = counter('http_connections_dropped_total', 'Connections closed because there were too many.');
  const evicted = counter('http_connections_evicted_total', 'Idle connections closed for new ones.');
  const shed = counter('http_requests_shed_total', 'Requests answered 503 because too many were in flight.');
  const clientErrors = counter('http_client_errors_total', 'Requests that could not be read, by answer.', ['status']);
  const cut = counter('http_drain_cut_total', 'Requests cut because the grace time had passed.');
  const requests = counter('http_server_requests_total', 'Requests that have come, by protocol.', ['protocol']);
  const byProtocol = {
    'http/1': requests.labels({ server, protocol: 'http/1' }),
    h2: requests.labels({ server, protocol: 'h2' }),
  };
  const ended = counter('http2_connections_ended_total', 'Connections in HTTP/2 that were ended here, by why.', [
    'why',
  ]);
  const stalled = counter('http2_stalled_total', 'Requests in HTTP/2 that were ended because nothing of them moved.');
  return {
    connections: (count) => open.set({ server }, count),
    dropped: () => dropped.inc({ server }),
    evicted: () => evicted.inc({ server }),
    shed: () => shed.inc({ server }),
    clientError: (status) => clientErrors.inc({ server, status: `${status}` }),
    cut: (requests) => cut.inc({ server }, requests),
    request: (protocol) => byProtocol[protocol].inc(),
    http2Sessions: (count) => sessions.set({ server }, count),
    http2Ended: (why) => ended.inc({ server, why }),
    http2Stalled: () => stalled.inc({ server }),
  };
}
