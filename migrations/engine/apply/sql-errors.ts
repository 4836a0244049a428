/** What an error of the target says about a row that was to be written. */
export type WriteFault =
  /** Another row has a unique value that this row's image has. */
  | { kind: 'clash'; uniqueKey: string }
  /** The target cannot take the row as it is, and never will: too long, out of range, NULL, a check. */
  | { kind: 'refused'; reason: string }
  /** Not the row's fault: locks, connection, server. */
  | { kind: 'other' };

type SqlError = { errno?: unknown; message?: unknown; sqlMessage?: unknown };

const duplicate = new Set([1062, 1586]);

/** Errors of InnoDB and the SQL layer that a row's values cause, by number; the same on both engines unless said. */
const refusals = new Set([
  1048, // column cannot be null
  1118, // row too large
  1138, // NULL in a NOT NULL column
  1216, // foreign keys, where the session has them checked
  1263, // data truncated to NULL
  1264, // out of range
  1265, // data truncated
  1292, // wrong value for its type
  1364, // no default
  1366, // wrong value for the column
  1367, // illegal value
  1406, // too long
  1411, // wrong value for a function
  1416, // geometry
  1425, // too precise
  1441, // datetime overflow
  1452, // foreign keys
  1526, // no partition for the value
  1644, // a trigger of the target refuses it (SIGNAL)
  1690, // out of range in an expression
  3140, // not JSON
  3141,
  3819, // CHECK (MySQL)
  4025, // CHECK (MariaDB)
  4038, // not JSON (MariaDB)
]);

/** Sorts an error of a statement that wrote rows. */
export const faultOf = (error: unknown): WriteFault => {
  const { errno, sqlMessage, message } = (Object(error) as SqlError) ?? {};
  if (typeof errno !== 'number') return { kind: 'other' };
  const text = String(sqlMessage ?? message ?? '');
  if (duplicate.has(errno)) return { kind: 'clash', uniqueKey: keyNameOf(text) };
  if (refusals.has(errno)) return { kind: 'refused', reason: `error ${errno}: ${withoutValues(text)}` };
  return { kind: 'other' };
};

/** `Duplicate entry 'x' for key 'users.email'`: only the key's name, for values are nobody's business. */
const keyNameOf = (text: string): string => {
  const name = /for key '([^']+)'$/.exec(text)?.[1] ?? 'unknown';
  return name.slice(name.lastIndexOf('.') + 1);
};

/** MySQL quotes both names and values; a value stands after `value:` or `entry`. */
const withoutValues = (text: string): string =>
  text.replace(/(value:?|entry) '(?:[^'\\]|\\.|'(?! for | at |$))*'/gi, "$1 '…'").slice(0, 300);

const lostCodes = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ER_SERVER_SHUTDOWN',
  'ER_NORMAL_SHUTDOWN',
  'ER_CON_COUNT_ERROR',
]);

/** Whether an error says that the server cannot be reached, or is going: it may be back later. */
export const isServerAway = (error: unknown): boolean => {
  for (let link = error, depth = 0; typeof link === 'object' && link !== null && depth < 5; depth += 1) {
    const { code, message, cause } = link as { code?: unknown; message?: unknown; cause?: unknown };
    if (typeof code === 'string' && lostCodes.has(code)) return true;
    // The driver's own, which has no code.
    if (typeof message === 'string' && /connection is in closed state|connection.*(lost|closed)/i.test(message))
      return true;
    link = cause;
  }
  return false;
};
