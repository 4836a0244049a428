import { describe, expect, test } from '@jest/globals';
import {
  allPhases,
  jestArguments,
  type Phase,
  phaseEnvironment,
  select,
  stepsOf,
  UsageError,
  workersIn,
} from './phases.ts';

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
  const steps = (args: string[]) => stepsOf(select(args).phases);
  const named = (args: string[]) => steps(args).map((step) => step.map(({ name }) => name));

  test('is the whole system beside the integration tests, and nothing else', () => {
    expect(named([]).filter((step) => step.length > 1)).toEqual([['integration', 'e2e']]);
    expect(named([]).flat().toSorted()).toEqual(names([]).toSorted());
    expect(named(['--only', 'unit,e2e'])).toEqual([['unit'], ['e2e']]);
    expect(named(['--only', 'types'])).toEqual([['types']]);
  });

  test('is never more than two test files', () => {
    for (const step of [...steps([]), ...steps(['--only', 'integration'])]) {
      const files = step.map((phase) => (phase.kind === 'jest' ? workersIn(step, phase) : 1));
      expect(files.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(2);
    }
    const [alone] = steps(['--only', 'integration']);
    expect(alone?.map((phase) => phase.kind === 'jest' && workersIn(alone, phase))).toEqual([2]);
  });
});

describe('a phase of tests', () => {
  const argumentsOf = (phase: Phase & { kind: 'jest' }, paths: readonly string[]) =>
    jestArguments(phase, { paths, outputFile: '/out', workers: phase.workers });
  const unit = allPhases.find(({ name }) => name === 'unit') as Phase & { kind: 'jest' };

  test('names its paths behind an option of their own, and may then find none', () => {
    expect(argumentsOf(unit, [])).toEqual([
      '--selectProjects',
      'unit',
      '--maxWorkers=2',
      '--json',
      '--outputFile=/out',
    ]);
    expect(argumentsOf(unit, ['a', 'b']).slice(-4)).toEqual(['--passWithNoTests', '--testPathPatterns', 'a', 'b']);
  });

  test('leaves out on MariaDB what does not depend on the engine, and nothing of the kit', () => {
    const mariadb = allPhases.find(({ name }) => name === 'data-mariadb') as Phase & { kind: 'jest' };
    expect(argumentsOf(mariadb, [])).toContain('--testPathIgnorePatterns');
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
