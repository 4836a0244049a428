import { readBody } from '@strangler/platform/compare/answer.ts';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import { redactAnswer, redactDifference, redactRequest } from '@strangler/platform/compare/redact.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import { type RecordedComparison, statusClassOf } from '@strangler/platform/shadow-report/entry.ts';
import type { ShadowReport } from '@strangler/platform/shadow-report/report.ts';
import type { RoleOf } from './role.ts';
import type { Finding, FoundExample } from './sample.ts';

export type TellReportOptions = {
  report: Pick<ShadowReport, 'record'>;
  rulesOf(slice: string, endpoint: string): CompareRules;
  roleOf: RoleOf;
  nowMs?: () => number;
};

/** An example of the same difference is made once in so long; the report keeps few of them anyway. */
const exampleEveryMs = 5_000;
const mostRemembered = 2_000;

/** Makes of what was found what may be kept: by whom it was asked becomes a role, and nothing leaves here unredacted. */
export const tellReport = (options: TellReportOptions): ((finding: Finding) => void) => {
  const { report, rulesOf, roleOf, nowMs = () => performance.now() } = options;
  const exampleAt = new Map<string, number>();

  const wantsExample = ({ slice, endpoint, differences }: Finding): boolean => {
    const now = nowMs();
    const keys = differences.map(({ path, kind }) => `${slice} ${endpoint} ${kind} ${path}`);
    if (keys.every((key) => now - (exampleAt.get(key) ?? Number.NEGATIVE_INFINITY) < exampleEveryMs)) return false;
    if (exampleAt.size + keys.length > mostRemembered) exampleAt.clear();
    for (const key of keys) exampleAt.set(key, now);
    return true;
  };

  return (finding) => {
    const { slice, endpoint, access, outcome, facts, stickyBy, status, askedAt } = finding;
    const shown = outcome === 'different' && finding.example !== null && wantsExample(finding);
    const rules = shown ? rulesOf(slice, endpoint) : null;
    const comparison: RecordedComparison = {
      ...{ slice, endpoint, access, outcome },
      role: roleOf(facts, stickyBy),
      statusClass: status === null ? 'none' : statusClassOf(status),
      differences: finding.differences.map((one) =>
        rules === null ? withoutValues(one) : redactDifference(one, rules),
      ),
      at: askedAt,
    };
    if (rules !== null) comparison.example = redacted(finding.example!(), rules);
    report.record(comparison);
  };
};

const withoutValues = ({ path, at, kind }: Difference): Difference => ({
  ...{ path, at, kind },
  monolith: undefined,
  service: undefined,
});

const redacted = ({ request, monolith, service }: FoundExample, rules: CompareRules) => {
  const { method, target, headers, body } = request;
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name.toLowerCase(), one]),
  );
  const contentType = lines.find(([name]) => name === 'content-type')?.[1];
  const contentEncoding = lines.find(([name]) => name === 'content-encoding')?.[1];
  const head = {
    ...(contentType === undefined ? {} : { contentType }),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
  };
  return {
    request: redactRequest(
      { method, path: target, headers: lines, body: body === null ? { kind: 'none' } : readBody(head, body) },
      rules,
    ),
    monolith: redactAnswer(monolith, rules),
    service: redactAnswer(service, rules),
  };
};
