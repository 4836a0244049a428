import { formatTable } from '@strangler/migrations/cli/table.ts';
import type { FuzzReport } from '@strangler/migrations/parity/fuzz/fuzz.ts';

/** For a person: what was tried, and what was found. */
export function describeReport({ steps, runs, seed, coverage, found }: FuzzReport): string {
  const tried = Object.entries(coverage)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([operation, statuses]) => [
      operation,
      Object.entries(statuses)
        .map(([status, count]) => `${status}: ${count}`)
        .join('  '),
    ]);
  return [
    `${steps} requests in ${runs} sequences to each side, seed ${seed}`,
    formatTable(['OPERATION', 'ANSWERS OF THE LEFT SIDE'], tried),
    ...(found === null
      ? ['no difference']
      : [
          `found in sequence ${found.run}, by ${found.scenario.steps.length} steps:`,
          ...found.scenario.steps.map(
            ({ method, path, as, body, text }, at) =>
              `  ${at + 1}. ${method} ${path}${as === undefined ? '' : ` as ${as}`} ${text ?? (body === undefined ? '' : JSON.stringify(body))}`,
          ),
          found.text,
        ]),
  ].join('\n');
}
