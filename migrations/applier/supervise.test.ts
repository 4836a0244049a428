import { afterEach, expect, test } from '@jest/globals';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { pino } from 'pino';
import type { Direction } from '../engine/pipe/direction.ts';
import { Hindrance, NotArmed, type Trouble } from './faults.ts';
import type { SliceApplier } from './slice-applier.ts';
import { type Supervisor, superviseApplier } from './supervise.ts';

let supervisor: Supervisor;
afterEach(async () => {
  await supervisor?.stop(0);
});

type Begun = { end(why: Trouble): void; stopped: boolean };

function supervised(first: Stage | 'unknown' | undefined, direction: Direction = 'forward') {
  const world = {
    stage: first as Stage | 'unknown' | undefined,
    hindrance: undefined as Error | undefined,
    begun: [] as Begun[],
    trouble: undefined as Trouble | undefined,
  };
  supervisor = superviseApplier({
    direction,
    stage: () => world.stage,
    async begin(): Promise<SliceApplier> {
      if (world.hindrance) throw world.hindrance;
      const { promise, resolve } = Promise.withResolvers<Trouble>();
      const one: Begun = { end: resolve, stopped: false };
      world.begun.push(one);
      return {
        ended: promise,
        trouble: () => world.trouble,
        async stop() {
          one.stopped = true;
        },
      };
    },
    log: pino({ level: 'silent' }),
    graceMs: 0,
    backoff: { baseMs: 1, capMs: 4 },
    lookEveryMs: 1,
  });
  const to = (stage: Stage | undefined) => {
    world.stage = stage;
    supervisor.look();
  };
  return { world, to };
}

test('nothing is applied before anything is known of the stage, which is trouble, nor at a stage that does not ask for it, which is none', async () => {
  const { world, to } = supervised('unknown');
  expect(supervisor.trouble()?.cause).toBe('flags');
  for (const stage of ['monolith', undefined] as const) {
    to(stage);
    expect(supervisor.trouble()).toBeUndefined();
  }
  expect(supervisor.state()).toBe('idle');
  expect(world.begun).toEqual([]);
});

test('from sync to writes one goes on; it is stopped with the stage, and the next is another', async () => {
  const { world, to } = supervised('monolith');
  for (const stage of ['sync', 'shadow', 'canary', 'reads', 'writes'] as const) {
    to(stage);
    await eventually(() => supervisor.state() === 'applying');
  }
  expect(world.begun).toHaveLength(1);
  to('monolith');
  await eventually(() => supervisor.state() === 'idle' && world.begun[0]?.stopped);
  to('sync');
  await eventually(() => supervisor.state() === 'applying');
  expect(world.begun).toHaveLength(2);
  world.trouble = { cause: 'target', message: 'away' };
  expect(supervisor.trouble()).toEqual(world.trouble);
});

test('at complete another one goes on with the tables that are left, and none where there are none; back at writes it is another again', async () => {
  const { world, to } = supervised('writes');
  await eventually(() => world.begun.length === 1 && supervisor.state() === 'applying');
  to('complete');
  await eventually(() => world.begun.length === 2 && supervisor.state() === 'applying');
  expect(world.begun[0]?.stopped).toBe(true);
  world.hindrance = new NotArmed('queues', 'none');
  world.begun[1]?.end({ cause: 'queues', message: 'gone' });
  await eventually(() => supervisor.state() === 'idle');
  expect(supervisor.trouble()).toBeUndefined();
  world.hindrance = undefined;
  to('writes');
  await eventually(() => supervisor.state() === 'applying');
  expect(world.begun).toHaveLength(3);
});

test('what stands in the way is told until it is gone', async () => {
  const { world, to } = supervised('monolith');
  world.hindrance = new Hindrance('mapping', 'no such column');
  to('sync');
  await eventually(() => supervisor.trouble()?.message === 'no such column');
  expect(supervisor.state()).toBe('preparing');
  to('monolith');
  await eventually(() => supervisor.state() === 'idle');
  expect(supervisor.trouble()).toBeUndefined();
  to('shadow');
  world.hindrance = undefined;
  await eventually(() => supervisor.state() === 'applying');
  expect(supervisor.trouble()).toBeUndefined();
});

test('one that ends by itself is stopped and followed by another, which is trouble until that is there', async () => {
  const { world } = supervised('sync');
  await eventually(() => supervisor.state() === 'applying');
  world.hindrance = new Error('later');
  world.begun[0]?.end({ cause: 'queues', message: 'gone' });
  await eventually(() => world.begun[0]?.stopped);
  await eventually(() => supervisor.trouble()?.message === 'later');
  world.hindrance = undefined;
  await eventually(() => world.begun.length === 2 && supervisor.state() === 'applying');
});

test('stopping ends what is applied, and begins nothing more', async () => {
  const { world } = supervised('sync');
  await eventually(() => supervisor.state() === 'applying');
  await supervisor.stop(0);
  expect(world.begun.map(({ stopped }) => stopped)).toEqual([true]);
});

test('the way back is looked for idly at reads, is taken up once it is armed, and is missed at writes', async () => {
  const { world, to } = supervised('canary', 'reverse');
  world.hindrance = new NotArmed('queues', 'none');
  const seen = new Set<string>();
  to('reads');
  for (let looks = 0; looks < 20; looks += 1) {
    seen.add(`${supervisor.state()} ${supervisor.trouble()?.cause}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect([...seen]).toEqual(['idle undefined']);
  to('writes');
  await eventually(() => supervisor.trouble()?.cause === 'queues');
  to('reads');
  await eventually(() => supervisor.state() === 'idle');
  world.hindrance = undefined;
  await eventually(() => supervisor.state() === 'applying');
  to('writes');
  to('reads');
  to('canary');
  await eventually(() => supervisor.state() === 'idle');
  expect(world.begun).toHaveLength(1);
});

test('what else stands in the way back is trouble at reads, too', async () => {
  const { world, to } = supervised('canary', 'reverse');
  world.hindrance = new Hindrance('mapping', 'no such column');
  to('reads');
  await eventually(() => supervisor.trouble()?.cause === 'mapping');
});
