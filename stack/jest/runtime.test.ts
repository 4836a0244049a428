import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { repositoryRoot } from '../home/paths.ts';
import { runCommand } from '../process/run.ts';

type Report = {
  testResults: { name: string; message: string; assertionResults: { title: string; status: string }[] }[];
};

/** Test files of another clone, run one after the other in one process. */
const files = {
  'shared.ts': `
    import { beforeEach, expect, test } from '@jest/globals';
    export const seen: string[] = [];
    export const suite = (name: string) => test(name + ' is a test of its own file', () => { seen.push(name); expect(seen).toContain(name); });
    export const watch = (name: string) => beforeEach(() => { seen.push('before each of ' + name); });`,
  'a.test.ts': `
    import { afterAll, describe, expect, jest, test } from '@jest/globals';
    import { seen, suite, watch } from './shared.ts';
    enumerate();
    function enumerate() { watch('a'); suite('a'); }
    process.env.LEFT = 'behind';
    console.log('said by a');
    describe.each([1, 2])('number %i', (n) => { test('fails where it is wrong', () => expect(n).toBe(1)); });
    test('has mocks', () => { const fn = jest.fn(); fn(3); expect(fn).toHaveBeenCalledWith(3); });
    test('takes too long', () => new Promise(() => {}), 50);
    test('is told of what nobody has caught', async () => { void Promise.reject(new Error('uncaught')); await new Promise((resolve) => setTimeout(resolve, 20)); });
    test('sees the errors of Node as errors', async () => { await expect(import('node:fs/promises').then((fs) => fs.readFile('/nowhere'))).rejects.toBeInstanceOf(Error); });
    afterAll(() => { seen.push('after all of a'); });`,
  'b.test.ts': `
    import { expect, test } from '@jest/globals';
    import { seen, suite } from './shared.ts';
    suite('b');
    test('has no hooks of the file before it, and the modules that it has left', () => {
      expect(seen.at(-2)).toBe('after all of a');
      expect(seen.at(-1)).toBe('b');
    });
    test('has the environment as it was', () => expect(process.env.LEFT).toBeUndefined());`,
  'c.test.ts': `throw new Error('cannot be loaded');`,
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'jest-'));
  symlinkSync(join(repositoryRoot, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const sorted = `export default class { sort(tests) { return [...tests].sort((a, b) => (a.path < b.path ? -1 : 1)); } allFailedTests(tests) { return tests; } cacheResults() {} shard(tests) { return tests; } }`;
  writeFileSync(join(folder, 'in-order.mjs'), sorted);
  const own = (file: string) => join(import.meta.dirname, file);
  const config = {
    ...{ rootDir: folder, transform: {}, testMatch: [`${folder}/*.test.ts`], cache: false },
    ...{
      runtime: own('runtime.ts'),
      testEnvironment: own('environment.ts'),
      testSequencer: join(folder, 'in-order.mjs'),
    },
  };
  writeFileSync(join(folder, 'jest.config.json'), JSON.stringify(config));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...words: string[]) => {
  const args = [join(repositoryRoot, 'node_modules/.bin/jest'), '-c', join(folder, 'jest.config.json'), '-i', ...words];
  return runCommand({ file: process.execPath, args, cwd: folder }, { timeoutMs: 60_000 });
};

describe('test files that Node loads', () => {
  test('keep their tests, hooks and environment to themselves, and fail where they should', async () => {
    const { code, stderr } = await run('--json', '--outputFile=report.json');
    expect(code).toBe(1);
    const { testResults } = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report;
    const found = Object.fromEntries(
      testResults.map(({ name, assertionResults }) => [
        name.slice(folder.length + 1),
        assertionResults.map(({ title, status }) => `${status}: ${title}`),
      ]),
    );
    expect(found).toEqual({
      'a.test.ts': [
        'passed: a is a test of its own file',
        'passed: fails where it is wrong',
        'failed: fails where it is wrong',
        'passed: has mocks',
        'failed: takes too long',
        'failed: is told of what nobody has caught',
        'passed: sees the errors of Node as errors',
      ],
      'b.test.ts': [
        'passed: b is a test of its own file',
        'passed: has no hooks of the file before it, and the modules that it has left',
        'passed: has the environment as it was',
      ],
      'c.test.ts': [],
    });
    expect(stderr).toContain('said by a');
    // A test that takes too long is shown where it is written, not here.
    expect(stderr).toContain("test('takes too long'");
    expect(stderr).not.toContain('globals.ts');
    expect(testResults.find(({ name }) => name.endsWith('c.test.ts'))?.message).toContain('cannot be loaded');
  }, 60_000);

  test('cannot be watched or covered, and are told what to do', async () => {
    expect((await run('--coverage')).stderr).toContain('NODE_V8_COVERAGE');
    expect(() => jest.useFakeTimers()).toThrow('jest.useFakeTimers is not there');
  }, 60_000);
});
