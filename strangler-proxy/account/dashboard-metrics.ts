import { Gauge, type Registry } from 'prom-client';

/** How many look on, read when somebody asks for the metrics. */
export const exposeDashboard = (registry: Registry, streams: () => number): void => {
  new Gauge({
    name: 'strangler_dashboard_streams',
    help: 'Dashboards that look on; more than 64 are refused.',
    registers: [registry],
    collect() {
      this.set(streams());
    },
  });
};
