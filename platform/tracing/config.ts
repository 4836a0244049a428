import { z } from 'zod';
import { loadConfig, url } from '../config.ts';

const schema = z.object({
  /** Base address of an OTLP receiver over HTTP, such as `http://127.0.0.1:4318`; unset: no traces are recorded. */
  TRACING_URL: url(['http', 'https']).optional(),
  /** Share of the traces that begin here which are recorded, from 0 to 1. One that comes from a caller goes by what that says. */
  TRACING_RATIO: z
    .string()
    .regex(/^(0(\.\d{1,6})?|1(\.0{1,6})?)$/, { error: 'must be a number from 0 to 1' })
    .default('1'),
});

export type TracingConfig = { url: string; ratio: number };

/** Undefined where TRACING_URL is not set. @throws ConfigError that names every bad variable */
export function tracingConfig(
  program: string,
  env: Record<string, string | undefined> = process.env,
): TracingConfig | undefined {
  const { TRACING_URL: address, TRACING_RATIO: ratio } = loadConfig(program, schema, env);
  return address === undefined ? undefined : { url: address, ratio: Number(ratio) };
}
