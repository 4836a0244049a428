import { compareVersions, initialVersion, type RowVersion } from '@strangler/platform/contracts/row-message.ts';

/** The mapped columns of a row as texts, in the mapping's order; null where there is no such row. */
export type MappedTexts = readonly (string | null)[] | null;

/** What one look at the source showed, in one snapshot. */
export type SourceLook = {
  texts: MappedTexts;
  /**
   * The newest version of the key in the outbox; null where it holds none: never changed, or applied long since. (The
   * outbox must not let go of a change before it has been applied: a row that is behind would pass for different.)
   */
  newest: RowVersion | null;
};

/** What a look at the target showed, in one snapshot, after that of the source. */
export type TargetLook = {
  texts: MappedTexts;
  /** (0, 0) where none is stored. */
  version: RowVersion;
  /** The version of a change that waits for another row to give up a unique value. */
  parked: RowVersion | null;
};

/** What two looks say of a row. */
export type Verdict =
  | { kind: 'same' }
  /** The target is at an older version: look at it again. */
  | { kind: 'behind'; missing: RowVersion }
  /** The target has moved on since the source was looked at: look at both again. */
  | { kind: 'ahead' }
  /** Both are at the same version and not the same. */
  | { kind: 'different'; how: 'changed' | 'missing' | 'extra'; version: RowVersion };

/**
 * Judges a row. `seen` is the version that the target had in an earlier look, before the source's snapshot was taken, if
 * any: the source had it then, though its outbox may not tell of it any more.
 */
export const judge = (
  source: SourceLook,
  target: TargetLook,
  seen: RowVersion | null,
  same: (source: readonly (string | null)[], target: readonly (string | null)[]) => boolean,
): Verdict => {
  if (source.texts === null && target.texts === null) return { kind: 'same' };
  if (source.texts !== null && target.texts !== null && same(source.texts, target.texts)) return { kind: 'same' };
  const wanted = newer(source.newest ?? initialVersion, seen ?? initialVersion);
  const order = compareVersions(target.version, wanted);
  if (order < 0) return { kind: 'behind', missing: wanted };
  if (order > 0) return { kind: 'ahead' };
  // A copied row may wait as well: its version is (0, 0), and no newer one is to come.
  if (target.parked !== null && (target.texts === null || compareVersions(target.parked, target.version) > 0)) {
    return { kind: 'behind', missing: target.parked };
  }
  const how = source.texts === null ? 'extra' : target.texts === null ? 'missing' : 'changed';
  return { kind: 'different', how, version: target.version };
};

const newer = (one: RowVersion, other: RowVersion): RowVersion => (compareVersions(one, other) >= 0 ? one : other);
