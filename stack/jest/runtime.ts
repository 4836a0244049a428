import { createRequire, registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { give, type JestGlobals } from './given.ts';

/** Under which jest-circus keeps its handlers for whoever else loads it. */
const EVENT_HANDLERS = Symbol.for('EVENT_HANDLERS');

const require = createRequire(import.meta.url);
const globals = new URL('./globals.ts', import.meta.url).href;

/** The one that is loaded or runs now, by its URL. */
let testFile: string | undefined;

// The package of this name refuses to be loaded from anywhere but Jest's own module loader.
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === '@jest/globals'
      ? { url: context.parentURL === testFile ? `${globals}?of=${testFile}` : globals, shortCircuit: true }
      : next(specifier, context),
});

/**
 * Takes the place of jest-runtime: test files, what they test and the libraries are loaded by Node itself, as they
 * are in production. A worker loads each module once, where Jest's own loader would compile and run all of them anew for each
 * test file, which took longer than the tests. The price: what a module keeps, it keeps from one test file to the next, nothing can be
 * mocked by its module's name, and there is no `--watch` and no `--coverage`.
 *
 * Jest's runner makes one of these for each test file, and knows which methods there are.
 */
export default class NodeRuntime {
  readonly #moduleMocker: { restoreAllMocks(): void };

  constructor(
    _config: unknown,
    environment: { moduleMocker: { restoreAllMocks(): void } },
    _resolver: unknown,
    _transformer: unknown,
    _sources: unknown,
    _coverage: unknown,
    _testPath: string,
    { watch, watchAll, collectCoverage }: { watch: boolean; watchAll: boolean; collectCoverage: boolean },
  ) {
    if (watch || watchAll) throw new Error('--watch would go on with the modules of the first run: run jest anew');
    if (collectCoverage) throw new Error('--coverage sees nothing of what Node loads: set NODE_V8_COVERAGE=<folder>');
    this.#moduleMocker = environment.moduleMocker;
  }

  /** Jest-circus keeps its describe blocks and handlers in its module: each test file gets a fresh one. */
  requireInternalModule(path: string): unknown {
    delete require.cache[path];
    Reflect.deleteProperty(globalThis, EVENT_HANDLERS);
    return require(path);
  }

  setGlobalsForRuntime(given: JestGlobals): void {
    give({ globals: given, moduleMocker: this.#moduleMocker });
  }

  unstable_shouldLoadAsEsm(): boolean {
    return true;
  }

  async unstable_importModule(path: string): Promise<void> {
    testFile = pathToFileURL(path).href;
    await import(testFile);
  }

  requireModule(path: string): unknown {
    return require(path);
  }

  teardown(): void {
    this.#moduleMocker.restoreAllMocks();
  }

  getSourceMaps(): Map<string, string> {
    return new Map();
  }

  getAllCoverageInfoCopy(): undefined {}

  enterTestCode(): void {}

  leaveTestCode(): void {}
}
