import { expect, test } from '@jest/globals';
import { createFlights, createTurns } from './single-flight.ts';

function gate(): { open(): void; opened: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { open: () => resolve(), opened: promise };
}

test('all who come while work is under way have its result', async () => {
  const flights = createFlights<number>();
  const { open, opened } = gate();
  let begun = 0;
  const work = async () => {
    begun += 1;
    await opened;
    return { result: begun };
  };
  const joined = Array.from({ length: 100 }, () => flights.join('key', work));
  open();
  expect(new Set(await Promise.all(joined))).toEqual(new Set([1]));
  expect(begun).toBe(1);
});

test('work of other keys is apart', async () => {
  const flights = createFlights<string>();
  const land = (result: string) => flights.join(result, async () => ({ result }));
  expect(await Promise.all([land('a'), land('b')])).toEqual(['a', 'b']);
});

test('a key is not free before what lingers has ended', async () => {
  const flights = createFlights<number>();
  const { open, opened } = gate();
  expect(await flights.join('key', async () => ({ result: 1, linger: opened }))).toBe(1);
  expect(flights.underWay('key')).toBe(true);
  open();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(flights.underWay('key')).toBe(false);
});

test('work that fails fails for all and leaves nothing behind', async () => {
  const flights = createFlights<number>();
  const failing = () => flights.join('key', () => Promise.reject(new Error('no')));
  const outcomes = await Promise.allSettled([failing(), failing()]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(flights.underWay('key')).toBe(false);
});

test('whoever takes a turn is never given what began before it came', async () => {
  const turns = createTurns<number>();
  const gates = [gate(), gate(), gate()];
  let begun = 0;
  const work = async () => {
    const at = begun++;
    await gates[at]?.opened;
    return at;
  };
  const first = turns.take('key', work);
  const meanwhile = Array.from({ length: 50 }, () => turns.take('key', work));
  expect(begun).toBe(1);
  gates[0]?.open();
  expect(await first).toBe(0);
  gates[1]?.open();
  expect(new Set(await Promise.all(meanwhile))).toEqual(new Set([1]));
  gates[2]?.open();
  expect(await turns.take('key', work)).toBe(2);
});

test('a turn that fails does not fail the next one', async () => {
  const turns = createTurns<number>();
  const failing = turns.take('key', () => Promise.reject(new Error('no')));
  const next = turns.take('key', async () => 7);
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe(7);
});
