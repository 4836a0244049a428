import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cruise, type ICruiseResult, type IForbiddenRuleType } from 'dependency-cruiser';

// Type declarations of a configuration file are of no use to anybody.
const { default: configuration } = (await import('../../.dependency-cruiser.mjs' as string)) as {
  default: { forbidden: IForbiddenRuleType[]; options: object };
};

const root = realpathSync(mkdtempSync(join(tmpdir(), 'boundaries-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A house of the same rooms, in which every file imports what it is told to. */
function house(imports: Record<string, string[]>): void {
  const folders = [
    'platform',
    'monolith',
    'extracted/catalog',
    'extracted/orders',
    'strangler-proxy',
    'migrations',
    'stack',
    'e2e',
    'bench',
  ];
  for (const folder of folders) write(`${folder}/index.ts`, 'export const x = 1;\n');
  for (const [file, targets] of Object.entries(imports)) {
    write(file, `${targets.map((target) => `import '${target}';`).join('\n')}\n`);
  }
  write(
    'platform/package.json',
    JSON.stringify({ name: '@strangler/platform', type: 'module', exports: { './*': './*' } }),
  );
  mkdirSync(join(root, 'node_modules/@strangler'), { recursive: true });
  symlinkSync('../../platform', join(root, 'node_modules/@strangler/platform'));
}

function write(file: string, content: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), content);
}

const forbidden: [string, string, string][] = [
  ['platform/a.ts', '../monolith/index.ts', 'platform-imports-nothing-of-ours'],
  ['platform/b.ts', '../stack/index.ts', 'platform-imports-nothing-of-ours'],
  ['monolith/a.ts', '../extracted/catalog/index.ts', 'monolith-imports-platform-only'],
  ['monolith/b.ts', '../e2e/index.ts', 'monolith-imports-platform-only'],
  ['extracted/catalog/a.ts', '../orders/index.ts', 'extracted-imports-platform-only'],
  ['extracted/catalog/b.ts', '../../monolith/index.ts', 'extracted-imports-platform-only'],
  ['strangler-proxy/a.ts', '../migrations/index.ts', 'strangler-proxy-imports-platform-only'],
  ['migrations/a.ts', '../strangler-proxy/index.ts', 'migrations-imports-platform-only'],
  ['monolith/c.ts', '../stack/index.ts', 'nothing-imports-stack-e2e-or-bench'],
  ['strangler-proxy/b.ts', '../bench/index.ts', 'nothing-imports-stack-e2e-or-bench'],
  ['platform/c.ts', './nowhere.ts', 'no-import-that-leads-nowhere'],
  ['platform/d.ts', 'a-package-that-is-not-there', 'no-import-that-leads-nowhere'],
];
const allowed: [string, string][] = [
  ['platform/ok.ts', './index.ts'],
  ['monolith/ok.ts', '../platform/index.ts'],
  ['monolith/named.ts', '@strangler/platform/index.ts'],
  ['extracted/catalog/ok.ts', './index.ts'],
  ['extracted/orders/ok.ts', '../../platform/index.ts'],
  ['strangler-proxy/ok.ts', '../platform/index.ts'],
  ['migrations/ok.ts', 'node:fs'],
  ['stack/ok.ts', '../monolith/index.ts'],
  ['e2e/ok.ts', '../stack/index.ts'],
  ['bench/ok.ts', '../strangler-proxy/index.ts'],
];

let broken: { from: string; rule: string }[];
beforeAll(async () => {
  const all: [string, string][] = [...forbidden.map(([file, target]): [string, string] => [file, target]), ...allowed];
  house(Object.fromEntries(all.map(([file, target]) => [file, [target]])));
  const result = await cruise(
    ['platform', 'monolith', 'extracted', 'strangler-proxy', 'migrations', 'stack', 'e2e', 'bench'],
    {
      ...configuration.options,
      baseDir: root,
      validate: true,
      ruleSet: { forbidden: configuration.forbidden },
    },
  );
  broken = (result.output as ICruiseResult).summary.violations.map(({ from, rule }) => ({ from, rule: rule.name }));
});

describe('the import boundaries', () => {
  test.each(forbidden)('refuse %s importing %s (%s)', (from, _target, rule) => {
    expect(broken).toContainEqual({ from, rule });
  });

  test.each(allowed)('let %s import %s', (from) => {
    expect(broken.filter((violation) => violation.from === from)).toEqual([]);
  });

  test('have no rule that is not proven here', () => {
    const proven = new Set(forbidden.map(([, , rule]) => rule));
    expect(configuration.forbidden.map(({ name }) => name).filter((name) => !proven.has(name ?? ''))).toEqual([]);
  });
});
