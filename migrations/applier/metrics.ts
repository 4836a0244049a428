import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Direction, directions } from '../engine/pipe/direction.ts';
import { type Trouble, type TroubleCause, troubleCauses } from './faults.ts';

export const applierStates = ['idle', 'preparing', 'applying'] as const;
/** Waiting for a stage in which there is something to apply; looking at both ends; taking messages. */
export type ApplierState = (typeof applierStates)[number];

export type ApplierMetrics = {
  /** Something could not be done and is tried again. */
  waited(cause: TroubleCause): void;
  poison(count: number): void;
  /** From the writer's statement in the source to the commit in the target, of each change. */
  applied(delaysMs: readonly number[]): void;
  /** Parts that one transaction took together. */
  gathered(batches: number): void;
  announced(changes: number): void;
};

/** What is told of an applier while it runs. */
export type ApplierFacts = { state(): ApplierState; trouble(): Trouble | undefined };

/** Of the appliers of both directions, each under its own label. */
export function createApplierMetrics(
  registry: Registry,
  now: (direction: Direction) => ApplierFacts,
): Record<Direction, ApplierMetrics> {
  const registers = [registry];
  new Gauge({
    name: 'applier_state',
    help: '1 for what the applier is at.',
    labelNames: ['direction', 'state'],
    registers,
    collect() {
      for (const direction of directions) {
        const current = now(direction).state();
        for (const state of applierStates) this.set({ direction, state }, current === state ? 1 : 0);
      }
    },
  });
  new Gauge({
    name: 'applier_trouble',
    help: '1 for what keeps the applier from its work at the moment.',
    labelNames: ['direction', 'cause'],
    registers,
    collect() {
      for (const direction of directions) {
        const current = now(direction).trouble()?.cause;
        for (const cause of troubleCauses) this.set({ direction, cause }, current === cause ? 1 : 0);
      }
    },
  });
  const waits = new Counter({
    name: 'applier_waits_total',
    help: 'Times that something could not be done and was put off, by cause.',
    labelNames: ['direction', 'cause'],
    registers,
  });
  for (const direction of directions) for (const cause of troubleCauses) waits.inc({ direction, cause }, 0);
  const poison = new Counter({
    name: 'applier_poison_total',
    help: 'Messages that the target can never take.',
    labelNames: ['direction'],
    registers,
  });
  const delay = new Histogram({
    name: 'applier_delay_seconds',
    help: "From a writer's statement in the source to the commit in the target, of each change, by this machine's clock.",
    buckets: [0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600],
    labelNames: ['direction'],
    registers,
  });
  const gathered = new Histogram({
    name: 'applier_gathered_batches',
    help: 'Batches, of as many parts, that were applied together.',
    buckets: [1, 2, 4, 8, 16],
    labelNames: ['direction'],
    registers,
  });
  const announced = new Counter({
    name: 'applier_announced_changes_total',
    help: 'Changes that were announced as applied.',
    labelNames: ['direction'],
    registers,
  });
  const of = (direction: Direction): ApplierMetrics => ({
    waited: (cause) => waits.inc({ direction, cause }),
    poison: (count) => poison.inc({ direction }, count),
    applied(delaysMs) {
      for (const ms of delaysMs) delay.observe({ direction }, Math.max(0, ms) / 1000);
    },
    gathered: (batches) => gathered.observe({ direction }, batches),
    announced: (changes) => announced.inc({ direction }, changes),
  });
  return { forward: of('forward'), reverse: of('reverse') };
}
