import { Counter, Gauge, type Registry } from 'prom-client';

/** Counts users forgotten before their time, and tells how many are remembered. */
export const createOwnWriteMetrics = (registry: Registry, size: () => number): { forgotten(): void } => {
  const forgotten = new Counter({
    name: 'strangler_own_writes_forgotten_total',
    help: 'Users who wrote and were forgotten before READ_YOUR_WRITES was over, because too many wrote.',
    registers: [registry],
  });
  new Gauge({
    name: 'strangler_own_writes_remembered',
    help: 'Users who wrote and are remembered beside the cookie.',
    registers: [registry],
    collect() {
      this.set(size());
    },
  });
  return { forgotten: () => forgotten.inc() };
};
