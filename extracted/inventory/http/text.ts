import { z } from 'zod';

/**
 * Text that a person typed, on one line: put into Unicode NFC, runs of white space made one space, ends trimmed; then
 * from `min` to `max` UTF-16 units long.
 */
export function lineOfText({ min, max }: { min: number; max: number }) {
  return storableText()
    .transform((text) => text.normalize('NFC').replace(/\s+/gu, ' ').trim())
    .pipe(z.string().min(min).max(max));
}

/** Text of any number of lines: put into Unicode NFC, ends trimmed; then from `min` to `max` UTF-16 units long. */
export function paragraphs({ min, max }: { min: number; max: number }) {
  return storableText()
    .transform((text) => text.normalize('NFC').trim())
    .pipe(z.string().min(min).max(max));
}

/** Text that utf8mb4 holds unchanged: no lone surrogates, no NUL. */
function storableText() {
  return z.string().refine((text) => text.isWellFormed() && !text.includes('\0'), 'must be well-formed Unicode text');
}
