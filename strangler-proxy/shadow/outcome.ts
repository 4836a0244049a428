import type { RefusalReason } from '../upstream/upstream.ts';
import type { SkipReason } from './tap.ts';

/** How a comparison ended: a closed set, used in the report, the metrics and the status. */
export const outcomes = ['same', 'ignored', 'noise', 'lag', 'racing', 'different', 'failed'] as const;
export type Outcome = (typeof outcomes)[number];

/** Why what was sampled was not compared: a closed set, used in the metrics and the status. */
export type DropReason =
  | SkipReason
  /** This worker has no time to spare. */
  | 'busy'
  /** As many requests are copied as may be. */
  | 'too-many'
  /** As many copies wait as may. */
  | 'queue-full'
  /** It waited so long that its answer says nothing of the present. */
  | 'too-old'
  /** The dry run was not on its way when the live write was answered. */
  | 'late'
  /** It differed, and as many as may are being asked again already. */
  | 'unsettled'
  /** Comparing was switched off, or the slice has left the stage, in the meantime. */
  | 'switched-off'
  /** The service does not say that it makes dry runs, or says that it cannot of this (501). */
  | 'no-dry-run'
  /** Nobody could be asked. */
  | RefusalReason
  | 'stopping';
