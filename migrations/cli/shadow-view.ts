import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { KeptAnswer, KeptBody, KeptRequest } from '@strangler/platform/compare/redact.ts';
import {
  outcomes,
  type ShadowExample,
  type ShadowGroup,
  type ShadowSummary,
} from '@strangler/platform/shadow-report/entry.ts';
import type { CalibratedRoute, ProposedRules } from '../shadow/calibrate.ts';
import type { DrivenCell } from '../shadow/drive.ts';
import type { Coverage } from '../shadow/wanted-cells.ts';
import { formatCount } from './progress-view.ts';
import { formatTable } from './table.ts';

export const describeSummary = (slice: string, summary: ShadowSummary): string => {
  const { comparisons, first, last, unexplained, unlisted } = summary;
  if (comparisons === 0) return `${slice}: nothing was compared yet`;
  const ended = outcomes
    .filter((outcome) => summary.outcomes[outcome] > 0)
    .map((outcome) => `${outcome} ${formatCount(summary.outcomes[outcome])}`);
  const more = unlisted === 0 ? '' : `, ${formatCount(unlisted)} of them in groups that there was no room for`;
  return [
    `${slice}: ${formatCount(comparisons)} comparisons from ${instant(first)} to ${instant(last)}`,
    ended.join(', '),
    `${formatCount(unexplained)} unexplained${more}`,
  ].join('\n');
};

export const groupsTable = (groups: readonly ShadowGroup[]): string =>
  formatTable(
    ['GROUP', 'SEEN', 'ROUTE', 'KIND', 'PATH', 'LAST', 'EXAMPLE', 'ACCEPTED'],
    groups.map(({ id, count, endpoint, kind, path, last, examples, accepted }) => [
      id,
      count,
      endpoint,
      kind,
      path,
      instant(last),
      examples[0] ?? '-',
      accepted === null ? 'no' : `${accepted.by}: ${accepted.reason}`,
    ]),
  );

export const coverageTable = (cells: readonly Coverage[], perCell: number): string =>
  formatTable(
    ['ROUTE', 'STATUS', 'ROLE', 'CLEAN', 'OF', 'WANTED', ''],
    cells.map(({ endpoint, statusClass, role, clean, seen }) => [
      endpoint,
      statusClass,
      role,
      clean,
      seen,
      perCell,
      clean >= perCell ? '' : 'lacks',
    ]),
  );

export const describeGroup = (group: ShadowGroup): string => {
  const { id, endpoint, path, kind, count, first, last, accepted, examples } = group;
  return [
    `group ${id}`,
    `  route     ${endpoint}`,
    `  where     ${path}`,
    `  kind      ${kind}: ${meaningOf[kind]}`,
    `  seen      ${formatCount(count)} times from ${instant(first)} to ${instant(last)}`,
    `  accepted  ${accepted === null ? 'no' : `by ${accepted.by} at ${instant(accepted.at)}, when it had been seen ${formatCount(accepted.count)} times: ${accepted.reason}`}`,
    `  examples  ${examples.join(' ') || 'none is kept'}`,
  ].join('\n');
};

const meaningOf: Record<Difference['kind'], string> = {
  status: 'the service answers with another status',
  header: 'a header has another value, or only one side sends it',
  value: 'the same member has another value',
  type: 'the same member is of another type',
  missing: 'the service does not have what the monolith has',
  extra: 'the service has what the monolith does not have',
  order: 'the same elements stand in another order',
  length: 'the arrays have little in common, not even their length',
  body: 'the bodies are of another kind, or differ as text or bytes',
  event: 'only one side would have told others of it',
};

export const describeExample = (example: ShadowExample): string =>
  [
    `example ${example.id}, ${instant(example.at)}, ${example.endpoint}, ${example.role}`,
    describeRequest(example.request),
    describeDifferences(example.differences),
    sideBySide(example.monolith, example.service),
  ].join('\n\n');

export const describeDifferences = (differences: readonly Difference[]): string =>
  differences
    .flatMap(({ at, kind, monolith, service }) => [
      `${at}: ${kind}`,
      `  monolith  ${show(monolith)}`,
      `  service   ${show(service)}`,
    ])
    .join('\n');

const describeRequest = ({ method, path, headers, body }: KeptRequest): string =>
  [`${method} ${path}`, ...headers.map(([name, value]) => `${name}: ${value}`), ...bodyLines(body)]
    .map((line) => `  ${line}`)
    .join('\n');

const sideBySide = (monolith: KeptAnswer, service: KeptAnswer): string =>
  [
    ['the monolith answered', monolith],
    ['the service answered', service],
  ]
    .map(([whose, answer]) => {
      const { status, headers, body, latencyMs, effects } = answer as KeptAnswer;
      const events =
        effects?.events.map(({ type, key, payload }) => `event ${type} ${key} ${JSON.stringify(payload)}`) ?? [];
      return [
        `${whose} ${status} in ${latencyMs} ms`,
        ...[...headers.map(([name, value]) => `${name}: ${value}`), ...bodyLines(body), ...events].map(
          (line) => `  ${line}`,
        ),
      ].join('\n');
    })
    .join('\n');

const bodyLines = (body: KeptBody): string[] => {
  switch (body.kind) {
    case 'none':
      return [];
    case 'json':
      return JSON.stringify(body.value, null, 2).split('\n');
    case 'text':
      return body.text.split('\n');
    case 'cut':
      return [body.text];
    case 'bytes':
      return [`${body.length} bytes, SHA-256 ${body.sha256}`];
    case 'skipped':
      return [`body not looked at: ${body.why}`];
  }
};

const longest = 300;

const show = (value: unknown): string => {
  if (value === undefined) return 'nothing';
  const text = typeof value === 'string' && !/[\n"]/.test(value) ? `"${value}"` : JSON.stringify(value);
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
};

/** The lines that go into a slice file, and what they rest on. */
export const proposalYaml = (proposed: ProposedRules, by: string): string => {
  const { ignore, unordered, times } = proposed;
  const lines: string[] = [];
  if (unordered.length > 0) lines.push('  unordered:', ...unordered.map((path) => `    - ${quote(path)}`));
  if (times.paths.length > 0) {
    lines.push(
      '  times:',
      `    tolerance: ${times.toleranceMs}ms`,
      '    paths:',
      ...times.paths.map((path) => `      - ${quote(path)}`),
    );
  }
  if (ignore.length > 0) {
    lines.push('  ignore:');
    for (const { path, route, reason } of ignore) {
      lines.push(`    - path: ${quote(path)}`);
      if (route !== null) lines.push(`      route: ${quote(route)}`);
      lines.push(`      reason: ${quote(reason)}`, `      by: ${quote(by)}`);
    }
  }
  return lines.length === 0 ? '' : ['compare:', ...lines].join('\n');
};

const quote = (text: string): string => JSON.stringify(text);

export const describeCalibrated = ({ endpoint, pairs, paths, cannot }: CalibratedRoute): string => {
  if (cannot !== null) return `# ${endpoint}: not asked: ${cannot}`;
  if (paths.length === 0) return `# ${endpoint}: ${pairs} pairs, all equal`;
  return `# ${endpoint}: ${pairs} pairs, ${paths.map(({ path, inPairs }) => `${path} differs in ${inPairs}`).join(', ')}`;
};

export const drivenTable = (driven: readonly DrivenCell[], perCell: number): string =>
  formatTable(
    ['ROUTE', 'STATUS', 'ROLE', 'HAD', 'WANTED', 'SENT', 'BROUGHT', 'WHY NOT'],
    driven.map(({ endpoint, statusClass, role, clean, sent, brought, cannot }) => [
      endpoint,
      statusClass,
      role,
      clean,
      perCell,
      sent,
      brought,
      cannot ?? '',
    ]),
  );

const instant = (at: Date | null): string => (at === null ? '-' : `${at.toISOString().slice(0, 19)}Z`);
