import { parseDurationMs } from '@strangler/platform/config.ts';
import { CliError, exitCodes } from './exit-codes.ts';

/** Reads the value of an option that is a whole number. @throws CliError naming the option and its bounds */
export const wholeNumber = (option: string, text: string, min: number, max = Number.MAX_SAFE_INTEGER): number => {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const bounds = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
  throw new CliError(`${option}: expected a whole number ${bounds}, found "${text}"`, exitCodes.usage);
};

/** Reads the value of an option that is a time span, in milliseconds, at most a day. @throws CliError naming the option */
export const timeSpanMs = (option: string, text: string, minMs = 0): number => {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= minMs && ms <= 86_400_000) return ms;
  throw new CliError(
    `${option}: expected a time span such as 500ms, 5s or 2m, of at least ${minMs} ms and at most a day, found "${text}"`,
    exitCodes.usage,
  );
};
