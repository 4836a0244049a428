import { headerOf, type SideAnswer } from '../http/side.ts';

/**
 * Where a scenario takes something from an earlier answer: `${3:$.items[0].id}` from the body of the third step's answer,
 * `${3:header etag}` from its head. A text that is nothing but one of these becomes the value itself, a number for instance.
 */
const placeholder = /\$\{(\d{1,5}):([^}]{1,300})\}/g;

/** What a scenario wants of an answer is not in it; the message names both. */
export class TemplateError extends Error {
  override name = 'TemplateError';
}

/** Fills in every text of a value with what one side has answered so far; steps count from 1. */
export function fillIn(value: unknown, answers: readonly SideAnswer[]): unknown {
  if (typeof value === 'string') return fillText(value, answers);
  if (Array.isArray(value)) return value.map((one) => fillIn(one, answers));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fillIn(one, answers)]));
}

export function fillText(text: string, answers: readonly SideAnswer[]): unknown {
  const whole = new RegExp(`^${placeholder.source}$`).exec(text);
  if (whole) return lookUp(Number(whole[1]), whole[2] ?? '', answers);
  return text.replace(placeholder, (_, step: string, path: string) => String(lookUp(Number(step), path, answers)));
}

/** The steps whose answers a value takes something from. */
export function stepsIn(value: unknown): number[] {
  return [...JSON.stringify(value ?? null).matchAll(placeholder)].map(([, step]) => Number(step));
}

/** The same with other numbers of steps. */
export function renumber<T>(value: T, numbers: ReadonlyMap<number, number>): T {
  const text = JSON.stringify(value);
  if (text === undefined) return value;
  const changed = text.replace(placeholder, (_, step: string, path: string) => {
    return `\${${numbers.get(Number(step)) ?? step}:${path}}`;
  });
  return JSON.parse(changed) as T;
}

function lookUp(step: number, path: string, answers: readonly SideAnswer[]): unknown {
  const answer = answers[step - 1];
  if (answer === undefined) throw new TemplateError(`\${${step}:${path}}: there is no step ${step} before this one`);
  const found = path.startsWith('header ') ? headerOf(answer, path.slice(7).toLowerCase()) : at(answer.json, path);
  if (found === undefined) {
    const what = answer.bytes.toString('utf8').slice(0, 200);
    throw new TemplateError(`\${${step}:${path}}: step ${step} was answered ${answer.status} without it: ${what}`);
  }
  return found;
}

/** The value at `$.items[3].id`. */
function at(json: unknown, path: string): unknown {
  let value = json;
  for (const [, member, index] of path.matchAll(/\.([^.[\]]+)|\[(\d+)\]/g)) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[(member ?? index) as string];
  }
  return value;
}
