import { partCount } from '../contracts/row-message.ts';

export { partCount, partOf } from '../contracts/row-message.ts';

/**
 * The SQL expression that computes `partOf` of two SQL expressions of text, whatever character set these have:
 * MySQL's CRC32 is of bytes, so they are made UTF-8 first.
 */
export function partSql(subject: string, subjectKey: string): string {
  return `CRC32(CONCAT(CONVERT(${subject} USING utf8mb4), CHAR(0 USING utf8mb4), CONVERT(${subjectKey} USING utf8mb4))) MOD ${partCount}`;
}

/** `p00` to `p15`: a part in names of queues and in headers. */
export function partName(part: number): string {
  return `p${String(part).padStart(2, '0')}`;
}
