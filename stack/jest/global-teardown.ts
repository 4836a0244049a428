import { downStack } from '../servers.ts';

/** Takes down what the set-up has brought up, with its data. */
export default async function globalTeardown(): Promise<void> {
  const instance = process.env.TEST_STACK_OWN_INSTANCE;
  if (instance) await downStack(instance, { purge: true });
}
