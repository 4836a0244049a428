import { describe, expect, test } from '@jest/globals';
import { allPhases, jestArguments, lanesOf, type Phase, phaseEnvironment, select, UsageError } from './phases.ts';

const names = (args: string[]) => select(args).phases.map(({ name }) => name);

describe('what npm test is asked for', () => {
  test('is everything when nothing is said, checks first and the whole system last', () => {
    expect(names([])).toEqual([
      'types',
      'lint',
      'boundaries',
      'audit',
      'unit',
      'integration',
      'data',
      'data-mariadb',
      'e2e',
    ]);
  });

  test('is the named phases, in their own order', () => {
    expect(names(['--only', 'unit'])).toEqual(['unit']);
    expect(names(['--only=data,types'])).toEqual(['types', 'data']);
    expect(names(['--only', 'e2e', '--only', 'lint'])).toEqual(['lint', 'e2e']);
  });

  test('is the phases that run test files when it names a path', () => {
    const selection = select(['stack/process', 'ports']);
    expect(selection.paths).toEqual(['stack/process', 'ports']);
    expect(selection.phases.every(({ kind }) => kind === 'jest')).toBe(true);
  });

  test.each([[['--only', 'nothing']], [['--only']], [['--watch']]])('%j is refused', (args) => {
    expect(() => select(args)).toThrow(UsageError);
  });
});

describe('what runs side by side', () => {
  const run = (args: string[]) => {
    const { first, lanes } = lanesOf(select(args).phases);
    return [first, ...lanes].map((phases) => phases.map(({ name }) => name));
  };

  test('is the whole system, beside one phase with servers after the other, and nothing beside what needs none', () => {
    expect(run([])).toEqual([
      ['types', 'lint', 'boundaries', 'audit', 'unit'],
      ['integration', 'data', 'data-mariadb'],
      ['e2e'],
    ]);
    expect(run(['--only', 'unit,e2e'])).toEqual([['unit'], ['e2e']]);
    expect(run(['--only', 'types'])).toEqual([['types']]);
  });
});

describe('a phase of tests', () => {
  const unit = allPhases.find(({ name }) => name === 'unit') as Phase & { kind: 'jest' };

  test('names its paths behind an option of their own, and may then find none', () => {
    expect(jestArguments(unit, [], '/out')).toEqual([
      '--selectProjects',
      'unit',
      '--maxWorkers=2',
      '--json',
      '--outputFile=/out',
    ]);
    expect(jestArguments(unit, ['a', 'b'], '/out').slice(-4)).toEqual([
      '--passWithNoTests',
      '--testPathPatterns',
      'a',
      'b',
    ]);
  });

  test('leaves out on MariaDB what does not depend on the engine, and nothing of the kit', () => {
    const mariadb = allPhases.find(({ name }) => name === 'data-mariadb') as Phase & { kind: 'jest' };
    expect(jestArguments(mariadb, [], '/out')).toContain('--testPathIgnorePatterns');
    const without = new RegExp(mariadb.without ?? '');
    for (const path of ['monolith/modules/settings/a', 'extracted/orders/saga/a', 'extracted/payments/payments']) {
      expect(`/x/${path}.data.test.ts`).toMatch(without);
    }
    for (const path of [
      'monolith/modules/catalogue/a',
      'monolith/seed/seed',
      'migrations/engine/a',
      'platform/mysql/a',
      'platform/outbox/a',
      'extracted/catalog/a',
      'extracted/orders/migrations/migrations',
      'e2e/parity/orders-slice',
    ]) {
      expect(`/x/${path}.data.test.ts`).not.toMatch(without);
    }
  });

  test('is told its servers', () => {
    const addresses = { engine: 'mysql', mysqlUrl: 'm', rabbitmqUrl: 'r', redisUrl: 'd', consulUrl: 'c' } as const;
    const environment = phaseEnvironment({ instance: 'test', addresses });
    expect(environment.TEST_STACK_INSTANCE).toBe('test');
    expect(JSON.parse(environment.TEST_STACK ?? '')).toEqual(addresses);
    expect(phaseEnvironment(undefined)).not.toHaveProperty('TEST_STACK');
  });
});
