import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PortTakenError, pickPorts, portAnswers, portIsFree, requireFree } from './ports.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function taken(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return (server.address() as { port: number }).port;
}

describe('picked ports', () => {
  test('are different, in the range, free, and none that somebody has been given', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 100, max: 139 }), { maxLength: 15 }),
        fc.uniqueArray(fc.integer({ min: 100, max: 139 }), { maxLength: 15 }),
        fc.integer({ min: 1, max: 10 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        async (busy, given, count, dice) => {
          const ports = await pickPorts(count, {
            from: 100,
            to: 140,
            taken: new Set(given),
            random: () => dice,
            isFree: async (port) => !busy.includes(port),
          });
          expect(new Set(ports).size).toBe(count);
          for (const port of ports) {
            expect(port).toBeGreaterThanOrEqual(100);
            expect(port).toBeLessThan(140);
            expect([...busy, ...given]).not.toContain(port);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('are refused when there are not enough', async () => {
    await expect(pickPorts(3, { from: 100, to: 102, isFree: async () => true })).rejects.toThrow('only 2 of 3');
  });

  test('lie below those that the kernel gives to outgoing connections', async () => {
    const [port] = await pickPorts(1);
    expect(port).toBeLessThan(32_768);
    expect(await portIsFree(port ?? 0)).toBe(true);
  });
});

test('a port that is asked for and taken is named, with the variable and what to do', async () => {
  const port = await taken();
  expect(await portIsFree(port)).toBe(false);
  const failure = await requireFree(port, 'Redis', 'STACK_REDIS_PORT').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PortTakenError);
  expect((failure as Error).message).toMatch(new RegExp(`port ${port} for Redis is taken.*STACK_REDIS_PORT`));
});

test('whoever asks whether somebody listens is not in the way of who is about to', async () => {
  const [port = 0] = await pickPorts(1);
  let asking = true;
  const ask = async () => {
    while (asking) await portAnswers(port);
  };
  const askers = [ask(), ask(), ask(), ask()];
  try {
    for (let round = 0; round < 100; round += 1) {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen({ port, host: '127.0.0.1', exclusive: true }, resolve);
      });
      expect(await portAnswers(port)).toBe(true);
      await new Promise((resolve) => server.close(resolve));
    }
  } finally {
    asking = false;
    await Promise.all(askers);
  }
  expect(await portAnswers(port)).toBe(false);
});
