import { bytes, durationMs, formatDurationMs } from '@strangler/platform/config.ts';
import { z } from 'zod';

type Bounds = { min?: number; max?: number };

const boundsText = ({ min, max }: Bounds, format: (value: number) => string): string =>
  `${min === undefined ? '' : `, ${format(min)} or more`}${max === undefined ? '' : `, ${format(max)} at most`}`;

/** A duration in a file: `30s`, `5m`, or a number of milliseconds. Gives milliseconds. */
export const span = (bounds: Bounds = {}) =>
  z.union([durationMs(bounds), z.number().transform(String).pipe(durationMs(bounds))], {
    error: `must be a duration such as 250ms, 30s or 5m${boundsText(bounds, formatDurationMs)}`,
  });

/** A size in a file: `64KiB`, `1MB`, or a number of bytes. Gives bytes. */
export const byteCount = (bounds: Bounds = {}) =>
  z.union([bytes(bounds), z.number().transform(String).pipe(bytes(bounds))], {
    error: `must be a size such as 512, 64KiB or 1MiB${boundsText(bounds, (value) => `${value} bytes`)}`,
  });
