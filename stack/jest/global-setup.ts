import type { Engine, StackAddresses } from '../addresses.ts';
import { statusStack, upStack } from '../servers.ts';

/** What the teardown must take down again, if anything. */
const OWN_INSTANCE = 'TEST_STACK_OWN_INSTANCE';

/**
 * Gives the tests their servers, as JSON in `TEST_STACK`. An instance that is up already (`TEST_STACK_INSTANCE`,
 * default dev) with the wanted engine (`STACK_DB`, default whichever it has) is used and left alone; otherwise one of
 * this run's own is brought up, and the teardown takes it down.
 */
export default async function globalSetup(): Promise<void> {
  if (process.env.TEST_STACK) return;
  const instance = process.env.TEST_STACK_INSTANCE || 'dev';
  const wanted = process.env.STACK_DB as Engine | undefined;
  const status = await statusStack(instance);
  const running = status.up ? status.addresses : undefined;
  const fits = running !== undefined && (wanted === undefined || running.engine === wanted);
  process.env.TEST_STACK = JSON.stringify(fits ? running : await bringUpOwn(running));
}

async function bringUpOwn(running: StackAddresses | undefined): Promise<StackAddresses> {
  const instance = `jest-${process.pid}`;
  process.env[OWN_INSTANCE] = instance;
  // With the wrong engine only the database has to be another one.
  const urls = running && { rabbitmq: running.rabbitmqUrl, redis: running.redisUrl, consul: running.consulUrl };
  return await upStack({ instance, ...(urls ? { urls } : {}), log: (line) => process.stderr.write(`${line}\n`) });
}
