import { z } from 'zod';
import { issueMessage } from './http/issue-messages.ts';

/** One variable that is missing or bad. `message` never holds the value of a secret. */
export type ConfigProblem = { variable: string; message: string };

/** Every variable that is wrong, at once. */
export class ConfigError extends Error {
  readonly program: string;
  readonly problems: readonly ConfigProblem[];

  constructor(program: string, problems: readonly ConfigProblem[]) {
    super(
      [`${program}: the environment is not usable`, ...problems.map((p) => `  ${p.variable}: ${p.message}`)].join('\n'),
    );
    this.name = 'ConfigError';
    this.program = program;
    this.problems = problems;
  }
}

/**
 * Reads a program's environment by its schema: one object whose keys are the variables' names. Defaults live in the
 * schema. A variable set to the empty string counts as unset; variables that the schema does not name are ignored.
 * Throws ConfigError naming every bad variable.
 */
export function loadConfig<S extends z.ZodObject>(
  name: string,
  schema: S,
  env: Record<string, string | undefined> = process.env,
): z.infer<S> {
  const given: Record<string, string> = {};
  for (const variable of Object.keys(schema.shape)) {
    const value = env[variable];
    if (value !== undefined && value !== '') given[variable] = value;
  }
  const parsed = schema.safeParse(given, { error: issueMessage });
  if (parsed.success) return parsed.data as z.infer<S>;
  throw new ConfigError(
    name,
    parsed.error.issues.map((issue) => {
      const variable = String(issue.path[0] ?? '(environment)');
      return { variable, message: describeProblem(variable, issue.message, given[variable]) };
    }),
  );
}

/**
 * Runs `fn`, which loads a configuration, and returns what it returns. A ConfigError, thrown or rejected with, is printed
 * on standard error, one line a variable, and the process exits with 2; any other error goes through.
 */
export function exitOnConfigError<T>(
  fn: () => T,
  {
    write = (text: string): unknown => process.stderr.write(text),
    exit = (code: number): never => process.exit(code),
  } = {},
): T {
  const onError = (error: unknown): never => {
    if (!(error instanceof ConfigError)) throw error;
    write(`${error.message}\n`);
    return exit(2);
  };
  try {
    const result = fn();
    return result instanceof Promise ? (result.catch(onError) as T) : result;
  } catch (error) {
    return onError(error);
  }
}

function describeProblem(variable: string, message: string, value: string | undefined): string {
  if (value === undefined) return message === 'is required' ? message : `is required and ${message}`;
  if (isSecretName(variable)) {
    // A message written into a schema may quote the value it was given.
    const safe = value.length > 2 && message.includes(value) ? 'is not valid' : message;
    return `${safe}, found a value that is not shown`;
  }
  return `${message}, found ${JSON.stringify(shorten(hideUrlSecrets(value)))}`;
}

/** Whether a variable's value must never be shown, judged by its name. */
export function isSecretName(variable: string): boolean {
  return /SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|KEY|CREDENTIAL|PRIVATE|COOKIE|(^|_)(PASS|PWD|AUTH)(_|$)/i.test(
    variable,
  );
}

/** User information and query of anything that may be meant as a URL, however malformed it is. */
function hideUrlSecrets(value: string): string {
  return value
    .replace(/^(\s*[a-z][a-z0-9+.-]*:\/*)?.*@/is, '$1***@')
    .replace(/[?#].*$/s, '?***')
    .replace(/^([^:]*:\/\/[^/:]*:)(?!\d+(\/|$)).+$/s, '$1***');
}

function shorten(value: string): string {
  return value.length <= 80 ? value : `${value.slice(0, 80)}…`;
}

/** A text from the environment turned into a value by `parse`, which returns undefined for what it does not take. */
function fromText<T>(expected: string, parse: (text: string) => T | undefined) {
  const message = `must be ${expected}`;
  return z.string({ error: message }).transform((text, context): T => {
    const value = parse(text.trim());
    if (value !== undefined) return value;
    context.issues.push({ code: 'custom', message, input: text });
    return z.NEVER;
  });
}

type Bounds = { min?: number; max?: number };

function describeBounds({ min, max }: Bounds, unit = ''): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}${unit}`;
  if (min !== undefined) return ` of at least ${min}${unit}`;
  return max !== undefined ? ` of at most ${max}${unit}` : '';
}

function within(value: number, { min = -Infinity, max = Infinity }: Bounds): number | undefined {
  return Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined;
}

/** A whole number, in decimal digits. */
export function integer(bounds: Bounds = {}) {
  return fromText(`an integer${describeBounds(bounds)}`, (text) =>
    /^-?\d{1,16}$/.test(text) ? within(Number(text), bounds) : undefined,
  );
}

/** A TCP port; 0 asks the system for a free one. */
export function port() {
  return fromText('a port number from 0 to 65535', (text) =>
    /^\d{1,5}$/.test(text) ? within(Number(text), { min: 0, max: 65_535 }) : undefined,
  );
}

/** A URL with one of these protocols, `mysql` and `mysql:` meaning the same. The value is the text as it was given. */
export function url(protocols: readonly string[]) {
  const wanted = protocols.map((protocol) => `${protocol.replace(/:$/, '')}:`);
  return fromText(`a URL that starts with ${wanted.map((protocol) => `${protocol}//`).join(' or ')}`, (text) => {
    const parsed = URL.parse(text);
    return parsed !== null && wanted.includes(parsed.protocol) && parsed.host !== '' ? text : undefined;
  });
}

/** `true`, `1`, `false` or `0`. */
export function flag() {
  const values: Record<string, boolean> = { true: true, '1': true, false: false, '0': false };
  return fromText('true, false, 1 or 0', (text) => values[text.toLowerCase()]);
}

/** Texts separated by commas; white space around them and empty ones are dropped. */
export function list() {
  return fromText('a list separated by commas', (text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  );
}

const durationUnitsMs = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;

/** A longer timer overflows Node's 31 bits and fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/** A time span in ms from `250`, `250ms`, `1.5s`, `5m`, `2h` or `1d`; a bare number is in ms. At most 24.8 days. */
export function durationMs(bounds: Bounds = {}) {
  const all = { min: 0, max: longestTimerMs, ...bounds };
  return fromText(`a duration such as 250, 30s or 5m,${describeBounds(all, ' ms')}`, (text) => {
    const ms = parseDurationMs(text);
    return ms === undefined ? undefined : within(ms, all);
  });
}

/** Undefined for what is not a duration of whole ms. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,3})?)(ms|s|m|h|d)?$/.exec(text);
  if (match === null) return undefined;
  const unit = (match[2] ?? 'ms') as keyof typeof durationUnitsMs;
  const ms = Math.round(Number(match[1]) * durationUnitsMs[unit] * 1000) / 1000;
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that reads back as the same number of ms: `90s`, `5m`, `250ms`. */
export function formatDurationMs(ms: number): string {
  for (const [unit, size] of Object.entries(durationUnitsMs)) {
    if (ms !== 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

const byteUnits: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

/** A number of bytes from `512`, `64KiB`, `1MiB` (powers of 1024) or `64kB`, `1MB` (powers of 1000). */
export function bytes(bounds: Bounds = {}) {
  const all = { min: 0, ...bounds };
  return fromText(`a size such as 512, 64KiB or 1MiB,${describeBounds(all, ' bytes')}`, (text) => {
    const match = /^(\d{1,16})\s*([a-z]*)$/i.exec(text);
    const unit = match === null ? undefined : byteUnits[(match[2] ?? '').toLowerCase()];
    return unit === undefined ? undefined : within(Number(match?.[1]) * unit, all);
  });
}
