import { ModuleMocker } from 'jest-mock';

/**
 * Test files run among the globals of Node itself, not in a context of their own: what one has changed of the process is put
 * back before the next.
 */
export default class ProcessEnvironment {
  readonly global = globalThis;
  readonly moduleMocker = new ModuleMocker(globalThis);
  readonly fakeTimers = null;
  readonly fakeTimersModern = null;
  readonly #env = { ...process.env };
  readonly #exit = process.exit;
  readonly #console = globalThis.console;
  readonly #directory = process.cwd();

  exportConditions(): string[] {
    return ['node', 'node-addons'];
  }

  getVmContext(): null {
    return null;
  }

  async setup(): Promise<void> {}

  async teardown(): Promise<void> {
    for (const name of Object.keys(process.env)) {
      if (!(name in this.#env)) delete process.env[name];
    }
    Object.assign(process.env, this.#env);
    // Jest's runner puts its own in their places for each test file.
    process.exit = this.#exit;
    globalThis.console = this.#console;
    process.chdir(this.#directory);
  }
}
