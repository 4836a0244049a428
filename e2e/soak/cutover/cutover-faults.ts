import type { System } from '@strangler/stack/system/system.ts';
import { pick, type Weighted } from '../../traffic/random.ts';
import { crashed, type Fault, frozen, killed } from '../faults.ts';

/** What goes wrong during a cut-over. */
export type CutoverFault =
  /** The coordinator is killed at the begin of a step. */
  | { kind: 'coordinator'; step: string }
  /** Something else dies when a step begins. */
  | { kind: 'other'; step: string; fault: Fault };

/** Steps at whose begin something may die. */
const steps = ['prepare', 'hold', 'fence', 'drain', 'arm', 'commit', 'release'] as const;

/** Draws faults by the seed: processes often, the servers that all stand on seldom. */
export const drawFaults = ({ instance, processes }: System, random: () => number): (() => CutoverFault) => {
  const one = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
  const ofKind = (wanted: string) => () => killed(one(processes.filter(({ kind }) => kind === wanted)));
  const choices: Weighted<() => Fault | null> = [
    // Null: the coordinator.
    [6, () => null],
    [3, ofKind('proxy')],
    [3, ofKind('catalog')],
    [2, ofKind('relay')],
    [2, ofKind('applier')],
    [1, ofKind('monolith')],
    [1, () => crashed(instance, 'rabbitmq')],
    [1, () => crashed(instance, 'consul')],
    [1, () => frozen(instance, 'consul')],
    [1, () => crashed(instance, 'mysql')],
  ];
  return () => {
    const fault = pick(choices, random)();
    const step = one(steps);
    return fault === null ? { kind: 'coordinator', step } : { kind: 'other', step, fault };
  };
};

export const nameOf = (fault: CutoverFault): string =>
  fault.kind === 'coordinator' ? `coordinator killed at ${fault.step}` : `${fault.fault.name} at ${fault.step}`;
