import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';

const step = z.strictObject({
  method: z.string().regex(/^[A-Z]{1,20}$/, 'must be a method in capitals'),
  /** Path and query; may hold `${…}`. */
  path: z.string().startsWith('/').max(16_000),
  /** The role whose token it is sent with; left out: none. */
  as: z.string().min(1).max(64).optional(),
  headers: z.record(z.string(), z.string()).default({}),
  /** Sent as JSON; may hold `${…}`. */
  body: z.unknown().optional(),
  /** Sent as it is, in place of `body`. */
  text: z.string().optional(),
  /** What the left side must answer, or the scenario itself is wrong; left out: anything. */
  status: z.int().min(100).max(599).optional(),
});

const scenario = z.strictObject({
  name: z.string().min(1).max(300),
  /** What was found when it was written down, for a person. */
  found: z.array(z.string()).optional(),
  /** With which it was found. */
  seed: z.int().optional(),
  steps: z.array(step).min(1).max(1000),
});

/** One request of a scenario, the same for both sides but for what each has answered before. */
export type ScenarioStep = z.infer<typeof step>;

/** Requests in order, sent to both sides and compared one by one. */
export type Scenario = z.infer<typeof scenario>;

/** A file that is no scenario; the message names it and every fault. */
export class ScenarioError extends Error {
  override name = 'ScenarioError';
}

export function readScenario(value: unknown, where: string): Scenario {
  const result = scenario.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => `${path.join('.') || '(the whole)'}: ${message}`);
  throw new ScenarioError(`${where}: expected a scenario, found faults:\n  ${faults.join('\n  ')}`);
}

/** Reads a scenario from a file of JSON or YAML. @throws ScenarioError */
export async function loadScenario(file: string): Promise<Scenario> {
  let value: unknown;
  try {
    value = parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new ScenarioError(`${file}: expected JSON or YAML, found ${(error as Error).message}`);
  }
  return readScenario(value, file);
}
