import { Counter, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';

export type ExpiryMetrics = {
  /** A reservation was found expired that was due then. */
  expired(by: 'queue' | 'sweeper', due: Date): void;
  /** One could not be expired, because its stock is another's just now. */
  fenced(): void;
};

export function createExpiryMetrics({ clock, registry }: { clock: Clock; registry: Registry }): ExpiryMetrics {
  const late = new Histogram({
    name: 'inventory_expiry_late_seconds',
    help: 'How long after its time a reservation was expired, by whom: its message, or the sweeper, who is the backstop.',
    labelNames: ['by'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [registry],
  });
  const fenced = new Counter({
    name: 'inventory_expiries_fenced_total',
    help: 'Tries to expire a reservation that the closed fence refused: its stock is the shop’s.',
    registers: [registry],
  });
  return {
    expired: (by, due) => late.observe({ by }, Math.max(0, (clock.now().getTime() - due.getTime()) / 1000)),
    fenced: () => fenced.inc(),
  };
}
