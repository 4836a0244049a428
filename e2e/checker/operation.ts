/** Who answers a slice's requests, or owns a database. */
export type Side = 'monolith' | 'service';

/**
 * What became of an operation, as its client knows it. `ok`: it was acknowledged. `refused`: whoever answered said that
 * nothing was done. `unknown`: no answer, or one that leaves it open.
 */
export type Outcome = 'ok' | 'refused' | 'unknown';

/**
 * One operation on one key, as the client that made it has logged it. A `write` sets the key's value and names itself by
 * it: no two writes of a key write the same. A `read` finds a value. An `add` counts the key up by one and has no value.
 */
export type Operation = {
  id: number;
  client: string;
  /** For people: `patch price`, `sql update`, `job`. */
  op: string;
  kind: 'write' | 'read' | 'add';
  key: string;
  /** Written, or found by a read that was answered; null for an add and for a read without an answer. */
  value: string | null;
  /** Both since 1970, by one clock that does not go back. */
  invokedAtMs: number;
  /** Null where no end was logged: the client was killed. */
  endedAtMs: number | null;
  outcome: Outcome;
  /** Which side answered and under which epoch, where that was disclosed. */
  side: Side | null;
  epoch: number | null;
  /** Why it is not `ok`. */
  detail?: string;
};

/** What a key holds of which there is no row any more; written by a delete, at most once a key. */
export const deleted = 'deleted';
/** What a key holds of which there was no row ever. */
export const absent = 'absent';

/** When the operation can have taken effect at the latest: one of unknown outcome at any time after it was begun. */
export const latestEffectMs = ({ outcome, endedAtMs }: Operation): number =>
  outcome === 'ok' && endedAtMs !== null ? endedAtMs : Number.POSITIVE_INFINITY;

/** An operation in words, for a counterexample. */
export const describe = (operation: Operation): string => {
  const { id, client, op, key, value, outcome, invokedAtMs, endedAtMs, side, epoch } = operation;
  const by = side === null ? '' : ` by ${side}${epoch === null ? '' : ` in epoch ${epoch}`}`;
  const what = value === null ? '' : ` ${JSON.stringify(value)}`;
  return `#${id} ${client}: ${op}${what} of ${key}, ${outcome}${by}, ${clock(invokedAtMs)} to ${endedAtMs === null ? 'no end' : clock(endedAtMs)}`;
};

const clock = (ms: number): string => (ms > 86_400_000 ? new Date(ms).toISOString().slice(11, 23) : `${ms}`);
