import { canaryStates } from '@strangler/platform/contracts/canary.ts';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { CanaryAccount, SeenCanary } from '../canary/steer.ts';

/** Counts what the canary does by itself, and what it could not tell. */
export const createCanaryMetrics = (registry: Registry): CanaryAccount => {
  const failures = new Counter({
    name: 'strangler_canary_publish_failures_total',
    help: "Looks at which this proxy's figures of a canary could not be put in Consul.",
    labelNames: ['slice'],
    registers: [registry],
  });
  const steps = new Counter({
    name: 'strangler_canary_steps_total',
    help: 'Changes of the percentage that this proxy made because of the figures.',
    labelNames: ['slice', 'direction'],
    registers: [registry],
  });
  return {
    publishFailed: (slice) => failures.inc({ slice }),
    stepped: (slice, direction) => steps.inc({ slice, direction }),
  };
};

/** Where canaries stand, read when somebody asks for the metrics. */
export const exposeCanaries = (registry: Registry, seen: () => readonly SeenCanary[]): void => {
  const expose = (
    name: string,
    help: string,
    labels: readonly string[],
    tell: (gauge: Gauge, canary: SeenCanary) => void,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames: ['slice', ...labels],
      registers: [registry],
      collect() {
        this.reset();
        for (const canary of seen()) tell(this, canary);
      },
    });
  };
  expose('strangler_canary_steering', '1 while this proxy steers the canary.', [], (gauge, { slice, steers }) =>
    gauge.set({ slice }, steers ? 1 : 0),
  );
  expose(
    'strangler_canary_state',
    '1 for the state in which the canary is.',
    ['state'],
    (gauge, { slice, standing }) => {
      if (standing === null) return;
      for (const state of canaryStates) gauge.set({ slice, state }, standing.state === state ? 1 : 0);
    },
  );
  expose(
    'strangler_canary_baked_seconds',
    'How long the present percentage has been looked at.',
    [],
    (gauge, { slice, standing }) => standing !== null && gauge.set({ slice }, standing.bakedMs / 1_000),
  );
  for (const figure of ['samples', 'errors'] as const) {
    expose(
      `strangler_canary_${figure}`,
      figure === 'samples' ? 'Reads since the present percentage came into force.' : 'Of them, those that failed.',
      ['side'],
      (gauge, { slice, standing }) => {
        if (standing === null) return;
        for (const side of ['monolith', 'service'] as const) gauge.set({ slice, side }, standing[figure][side]);
      },
    );
  }
};
