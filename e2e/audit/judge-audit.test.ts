import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { advisoriesOf, type Exception, judgeAudit, readExceptions, unneeded } from './judge-audit.ts';

const via = (severity: string, id: string, name = 'a-package') => ({
  ...{ source: 1_100_000, name, dependency: name, title: `${name} does harm`, severity, range: '<2.0.0' },
  url: `https://github.com/advisories/${id}`,
});
const reportOf = (...all: (string | object)[]) =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities: { 'a-package': { name: 'a-package', severity: 'high', via: all }, other: { via: ['a-package'] } },
  });
const known: Exception = {
  ...{ advisory: 'GHSA-aaaa-bbbb-cccc', package: 'a-package', until: '2026-06-30' },
  reason: 'Only reached by the tests, with input of our own.',
};

describe('an audit', () => {
  test('fails on what is high or critical, once each, and on nothing less', () => {
    const found = advisoriesOf(
      reportOf(
        ...[
          via('high', 'GHSA-aaaa-bbbb-cccc'),
          via('high', 'GHSA-aaaa-bbbb-cccc'),
          via('moderate', 'GHSA-mmmm-mmmm-mmmm'),
        ],
        ...['another', via('critical', 'GHSA-zzzz-zzzz-zzzz', 'z')],
      ),
    );
    expect(found?.map(({ id }) => id)).toEqual(['GHSA-aaaa-bbbb-cccc', 'GHSA-zzzz-zzzz-zzzz']);
    expect(judgeAudit(found ?? [], [], '2026-06-01').failures).toEqual([
      'a-package: high: a-package does harm (https://github.com/advisories/GHSA-aaaa-bbbb-cccc)',
      'z: critical: z does harm (https://github.com/advisories/GHSA-zzzz-zzzz-zzzz)',
    ]);
  });

  test('lets pass what is excepted, for this package, until the end of the last day', () => {
    const found = advisoriesOf(reportOf(via('high', known.advisory))) ?? [];
    expect(judgeAudit(found, [known], '2026-06-30')).toMatchObject({ failures: [], notes: [expect.any(String)] });
    expect(judgeAudit(found, [{ ...known, package: 'b' }], '2026-06-30').failures).toHaveLength(1);
    expect(judgeAudit(found, [known], '2026-07-01').failures).toEqual([
      expect.stringContaining('has ended on 2026-06-30'),
    ]);
    expect(unneeded(found, [known])).toEqual([]);
  });

  test('fails on an exception that has ended, whether or not anybody could be asked', () => {
    expect(judgeAudit([], [known], '2026-07-01').failures).toHaveLength(1);
    expect(unneeded([], [known])).toEqual([known]);
  });

  test('is none where the answer is no report', () => {
    for (const text of ['', 'not JSON', '{"message":"405 Method Not Allowed"}', '{"auditReportVersion":1}'])
      expect(advisoriesOf(text)).toBeUndefined();
    expect(advisoriesOf('{"auditReportVersion":2,"vulnerabilities":{}}')).toEqual([]);
  });

  test('has exceptions that say why and until when', () => {
    expect(() => readExceptions(readFileSync(new URL('./exceptions.json', import.meta.url), 'utf8'))).not.toThrow();
    expect(() => readExceptions(JSON.stringify([{ ...known, reason: 'later' }]))).toThrow(/reason/);
    expect(() => readExceptions(JSON.stringify([{ ...known, until: 'some day' }]))).toThrow(/until/);
  });
});
