import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import { CommitOutcomeUnknown, conflictOf } from '@strangler/platform/mysql/transaction.ts';
import { FloorGone } from '../engine/apply/applier.ts';
import { ParkingFull } from '../engine/apply/parked.ts';
import { isServerAway } from '../engine/apply/sql-errors.ts';

/** What keeps an applier from its work. None of them is the fault of a message. */
export const troubleCauses = [
  /** Nothing is known of the slice's stage. */
  'flags',
  /** Both ends are being looked at, for the first time or again. */
  'preparing',
  'rabbitmq',
  /** The slice's queues are not there. */
  'queues',
  /** One of the databases does not answer when it is looked at. */
  'databases',
  /** The slice file and the live tables do not go together. */
  'mapping',
  /** The slice's pipe is not installed in the target. */
  'floor',
  'target',
  'locks',
  /** The fence takes no rows of the pipe: the tables are the other side's. */
  'fence',
  'parking',
  'announcement',
  'other',
] as const;
export type TroubleCause = (typeof troubleCauses)[number];

export type Trouble = { cause: TroubleCause; message: string };

/** Thrown where work cannot begin; its cause names the kind. */
export class Hindrance extends Error {
  override name = 'Hindrance';
  readonly trouble: TroubleCause;

  constructor(trouble: TroubleCause, message: string, options?: ErrorOptions) {
    super(message, options);
    this.trouble = trouble;
  }
}

/** The pipe's queues are not there: nobody has installed it, or somebody has taken it away. */
export class NotArmed extends Hindrance {
  override name = 'NotArmed';
}

/**
 * What to do about an error of applying: `wait` and do the same again, everybody; `alone`: do it again, but apart from
 * what came with it, which may not be concerned; `anew`: look at both databases again and begin with what they are now.
 */
export type ApplyFault = Trouble & { remedy: 'wait' | 'alone' | 'anew' };

/** A table or a column is not what the mapping says: ER_BAD_FIELD, NO_SUCH_TABLE, WRONG_VALUE_COUNT, KEY_COLUMN, BAD_DB. */
const schemaErrors = new Set([1054, 1146, 1136, 1072, 1049, 1051, 1109, 1305]);

/** The account, not the rows: ER_ACCESS_DENIED and its kin. */
const accountErrors = new Set([1044, 1045, 1142, 1143, 1227, 1370, 1410]);

export function applyFaultOf(error: unknown): ApplyFault {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof FloorGone) return { cause: 'floor', message, remedy: 'anew' };
  // A server that does not answer holds the connections: they are made anew too.
  if (error instanceof Hindrance) {
    return { cause: error.trouble, message, remedy: error.trouble === 'target' ? 'anew' : 'wait' };
  }
  if (error instanceof ParkingFull) return { cause: 'parking', message, remedy: 'alone' };
  if (error instanceof CommitOutcomeUnknown || isServerAway(error)) return { cause: 'target', message, remedy: 'wait' };
  if (conflictOf(error) !== undefined) return { cause: 'locks', message, remedy: 'wait' };
  // Rows of tables that have no fence go on.
  if (readFenceRefusal(error) !== undefined) return { cause: 'fence', message, remedy: 'alone' };
  const { errno } = Object(error) as { errno?: unknown };
  if (typeof errno === 'number') {
    if (schemaErrors.has(errno)) return { cause: 'mapping', message, remedy: 'anew' };
    if (accountErrors.has(errno)) return { cause: 'target', message, remedy: 'wait' };
  }
  return { cause: 'other', message, remedy: 'alone' };
}
