import { given, type JestGlobals } from './given.ts';

/**
 * What is imported as `@jest/globals`. A test file gets a module of its own, with the functions that it was given. Modules that many
 * test files share, such as conformance suites, are loaded once: what they get hands on to the functions of the test file that
 * runs now.
 */
const isOfOneFile = new URL(import.meta.url).searchParams.has('of');

type JestObject = typeof import('@jest/globals')['jest'];

const handOn = <N extends keyof JestGlobals>(name: N): JestGlobals[N] =>
  new Proxy((() => {}) as unknown as JestGlobals[N], {
    apply: (_, self, args) => Reflect.apply(given().globals[name] as () => unknown, self, args),
    get: (_, key) => Reflect.get(given().globals[name], key),
  });
const of = <N extends keyof JestGlobals>(name: N): JestGlobals[N] =>
  isOfOneFile ? given().globals[name] : handOn(name);

export const describe = of('describe');
export const test = of('test');
export const it = of('it');
export const expect = of('expect');
export const beforeAll = of('beforeAll');
export const beforeEach = of('beforeEach');
export const afterEach = of('afterEach');
export const afterAll = of('afterAll');

const mocking = new Set<string | symbol>(['fn', 'spyOn', 'mocked', 'replaceProperty', 'isMockFunction']);

export const jest = new Proxy({} as JestObject, {
  get: (_, key) => {
    if (!mocking.has(key)) throw new Error(`jest.${String(key)} is not there: modules are loaded by Node itself`);
    const { moduleMocker } = given();
    return (Reflect.get(moduleMocker, key) as () => unknown).bind(moduleMocker);
  },
});
