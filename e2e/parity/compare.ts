import type { Answer } from './exchange.ts';

/** Headers that tell of the moment, the request or the connection, and not of the resource. */
const incidental = new Set(['date', 'x-request-id', 'connection', 'keep-alive', 'transfer-encoding']);

const MOST_LINES = 20;

/** What differs between two answers, a line each, readable by a person; none when they are the same. */
export function differences(
  [leftName, left]: [string, Answer],
  [rightName, right]: [string, Answer],
  { ignoreHeader = () => false }: { ignoreHeader?: (name: string) => boolean } = {},
): string[] {
  const lines: string[] = [];
  const note = (what: string, a: unknown, b: unknown) =>
    lines.push(`${what}\n    ${leftName}: ${shown(a)}\n    ${rightName}: ${shown(b)}`);
  if (left.status !== right.status) note('status', left.status, right.status);

  const [leftHeaders, rightHeaders] = [headersOf(left, ignoreHeader), headersOf(right, ignoreHeader)];
  for (const name of [...new Set([...leftHeaders.keys(), ...rightHeaders.keys()])].sort()) {
    const [a, b] = [leftHeaders.get(name), rightHeaders.get(name)];
    if (a !== b) note(`header ${name}`, a, b);
  }

  if (left.text !== right.text) {
    const before = lines.length;
    if (left.json !== undefined && right.json !== undefined) walk('$', left.json, right.json, note);
    // The same values, but not the same bytes: another order of names, another spacing.
    if (lines.length === before) note('body', left.text, right.text);
  }
  return lines.length <= MOST_LINES
    ? lines
    : [...lines.slice(0, MOST_LINES), `… and ${lines.length - MOST_LINES} more`];
}

function headersOf(answer: Answer, ignore: (name: string) => boolean): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of answer.headers) {
    if (incidental.has(name) || ignore(name)) continue;
    const before = found.get(name);
    found.set(name, before === undefined ? value : `${before} ¶ ${value}`);
  }
  return found;
}

function walk(path: string, a: unknown, b: unknown, note: (what: string, a: unknown, b: unknown) => void): void {
  if (Object.is(a, b)) return;
  if (
    typeof a !== 'object' ||
    typeof b !== 'object' ||
    a === null ||
    b === null ||
    Array.isArray(a) !== Array.isArray(b)
  ) {
    note(`body ${path}`, a, b);
    return;
  }
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
    walk(Array.isArray(a) ? `${path}[${name}]` : `${path}.${name}`, left[name], right[name], note);
  }
}

function shown(value: unknown): string {
  const text = value === undefined ? '(nothing)' : typeof value === 'string' ? value : JSON.stringify(value);
  return text.length <= 300 ? text : `${text.slice(0, 300)}… (${text.length} characters)`;
}
