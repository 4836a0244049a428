import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { HoldAccount, WriteGate } from '../hold/write-gate.ts';

/** Counts the writes that had to wait, how long, and how it ended. */
export const createHoldMetrics = (registry: Registry): HoldAccount => {
  const held = new Counter({
    name: 'strangler_held_writes_total',
    help: 'Writes that had to wait while ownership was moved, by slice.',
    labelNames: ['slice'],
    registers: [registry],
  });
  const ended = new Counter({
    name: 'strangler_hold_ended_total',
    help: 'Writes that wait no more: released, given up by their client, or answered 503 by why.',
    labelNames: ['slice', 'end'],
    registers: [registry],
  });
  const waited = new Histogram({
    name: 'strangler_hold_seconds',
    help: 'How long writes waited that were released, by slice.',
    labelNames: ['slice'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  });
  return {
    held: (slice) => held.inc({ slice }),
    ended(slice, end, waitedMs) {
      ended.inc({ slice, end });
      if (end === 'released') waited.observe({ slice }, waitedMs / 1000);
    },
  };
};

/** What waits and what is under way, read when somebody asks for the metrics. */
export const exposeHolds = (registry: Registry, gate: Pick<WriteGate, 'waiting' | 'status'>): void => {
  new Gauge({
    name: 'strangler_held_writes',
    help: 'Writes that wait now, by slice.',
    labelNames: ['slice'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [slice, writes] of gate.waiting()) this.set({ slice }, writes);
    },
  });
  new Gauge({
    name: 'strangler_writes_in_flight',
    help: 'Writes of a slice that were sent and are not over, by the side they were sent to.',
    labelNames: ['slice', 'side'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { slice, inFlight } of gate.status())
        for (const { side, writes } of inFlight) this.inc({ slice, side }, writes);
    },
  });
  new Gauge({
    name: 'strangler_writes_cut_off',
    help: '1 while writes of a slice wait because it may have been moved without this proxy.',
    labelNames: ['slice'],
    registers: [registry],
    aggregator: 'max',
    collect() {
      this.reset();
      for (const { slice, gate: state } of gate.status()) this.set({ slice }, state === 'cut-off' ? 1 : 0);
    },
  });
};
