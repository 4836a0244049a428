import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { SentRequest } from '../http/side.ts';

const mostTold = 20;
/** Two answers of different statuses say quite different things: what else differs is of little use. */
const mostBesideStatus = 4;
const mostCharacters = 300;

/** Differences for a person, two values under each other. `names` are the sides'. */
export function describeDifferences(
  differences: readonly Difference[],
  [left, right]: readonly [string, string] = ['left', 'right'],
): string {
  const most = differences.some(({ path }) => path === 'status') ? mostBesideStatus : mostTold;
  const width = Math.max(left.length, right.length);
  const lines = differences
    .slice(0, most)
    .map(({ at, kind, monolith, service }) =>
      [
        `${at} (${kind})`,
        `    ${left.padEnd(width)}  ${shown(monolith)}`,
        `    ${right.padEnd(width)}  ${shown(service)}`,
      ].join('\n'),
    );
  if (differences.length > most) lines.push(`… and ${differences.length - most} more`);
  return lines.join('\n');
}

/** A request for a person; tokens are not shown. */
export function describeRequest({ method, path, headers, body }: SentRequest): string {
  const told = Object.entries(headers)
    .filter(([name]) => name !== 'authorization')
    .map(([name, value]) => `${name}: ${value.slice(0, 80)}`);
  return [`${method} ${path.slice(0, 300)}`, ...told, ...(body === null ? [] : [cut(body)])].join('  ');
}

const cut = (text: string): string => (text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text);

const shown = (value: unknown): string => (value === undefined ? '(nothing)' : cut(JSON.stringify(value)));
