import type { RowImage } from '@strangler/platform/contracts/row-message.ts';
import type { ColumnCodec } from './column-codec.ts';
import type { RowTransform } from './table-mapping.ts';

/** A sample of which a transform does not give back what it was given. */
export type TransformFault = { column: string; expected: string | null; found: string; sample: RowImage };

/**
 * Whether `toSource` undoes `toTarget` on samples: every source column that the transform names must come back the
 * same. Gives the first fault of each column; none means that the samples hold.
 */
export const checkTransform = (
  transform: RowTransform,
  samples: readonly RowImage[],
  codecOf: (sourceColumn: string) => ColumnCodec,
): TransformFault[] => {
  const faults = new Map<string, TransformFault>();
  const note = (fault: TransformFault) => {
    if (!faults.has(fault.column)) faults.set(fault.column, fault);
  };
  for (const sample of samples) {
    const outcome = roundTrip(transform, sample);
    if (outcome instanceof Error) {
      note({ column: '', expected: null, found: `${outcome.name}: ${outcome.message}`, sample });
      continue;
    }
    for (const column of transform.sourceColumns) {
      const expected = sample[column] ?? null;
      const found = outcome[column];
      if (found === undefined) note({ column, expected, found: 'nothing', sample });
      else if (!codecOf(column).sameValue(expected, found)) {
        note({ column, expected, found: JSON.stringify(found), sample });
      }
    }
  }
  return [...faults.values()];
};

const roundTrip = (transform: RowTransform, sample: RowImage): RowImage | Error => {
  try {
    const made = transform.toTarget({ ...sample });
    for (const column of transform.targetColumns) {
      const value = made[column];
      if (value === null || typeof value === 'string') continue;
      return new TypeError(
        `toTarget: expected text or null for ${column}, found ${value === undefined ? 'nothing' : typeof value}`,
      );
    }
    // As if it had been written and read: what toTarget did not declare does not reach the target.
    return transform.toSource(
      Object.fromEntries(transform.targetColumns.map((column) => [column, made[column] ?? null])),
    );
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
};
