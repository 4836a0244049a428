import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import {
  type CoordinatorProcess,
  type CutoverGround,
  spawnCoordinator,
  startCutoverGround,
  unhurried,
} from './cutover.fixture.ts';
import { CutoverRefused } from './cutover-work.ts';
import { otherSide, type Side } from './journal.ts';
import { readJournal } from './journal-table.ts';
import { resumeCutover } from './resume-cutover.ts';
import type { Writers } from './writers.fixture.ts';

/** Points before the commit is seen: at each the coordinator is killed with -9. */
const written = ['prepare', 'hold', 'fence', 'drain', 'arm', 'commit'];
const before = { service: [...written, 'prepare done', 'hold done', 'fence done'], monolith: written };

describe('a coordinator that is killed', () => {
  let ground: CutoverGround;
  let writers: Writers;
  let next: CoordinatorProcess;
  beforeAll(async () => {
    ground = await startCutoverGround('killed');
    writers = ground.startWriters();
    next = spawnCoordinator(ground.place);
  }, 240_000);
  afterAll(async () => {
    next?.kill();
    await writers?.stop().catch(() => {});
    await ground?.pipe.close();
  });

  /** Runs a cut-over in a process that ends itself at a point; the process of the next time makes itself ready meanwhile. */
  const killAt = async (to: Side, point: string, options = {}): Promise<void> => {
    const coordinator = next;
    next = spawnCoordinator(ground.place);
    const end = await coordinator.run({ ...unhurried, to, ...options }, point);
    expect({ point, end, output: end === 'SIGKILL' ? '' : coordinator.output() }).toEqual({
      point,
      end: 'SIGKILL',
      output: '',
    });
  };

  const resumed = async (): Promise<string> => {
    const { kind } = await resumeCutover(ground.work);
    expect((await resumeCutover(ground.work)).kind).toBe('nothing');
    return kind;
  };

  const calledOffAt = async (to: Side, points: readonly string[]): Promise<void> => {
    for (const point of points) {
      await killAt(to, point);
      expect({ point, resumed: await resumed() }).toEqual({ point, resumed: 'called off' });
      expect(await ground.expectWhole()).toBe(otherSide(to));
    }
  };

  const finishedAt = async (to: Side, point: string): Promise<void> => {
    await killAt(to, point);
    expect({ point, resumed: await resumed() }).toEqual({ point, resumed: point === 'done' ? 'nothing' : 'done' });
    expect(await ground.expectWhole()).toBe(to);
  };

  test('on the way to the service is called off at any step before the commit, and finished after it', async () => {
    await calledOffAt('service', before.service);
    await finishedAt('service', 'commit done');
  }, 300_000);

  test('on the way back is called off at any step before the commit, and finished after it', async () => {
    await calledOffAt('monolith', before.monolith);
    await finishedAt('monolith', 'commit done');
  }, 300_000);

  test('after the commit is finished from any step, there and back', async () => {
    for (const point of ['release', 'done']) {
      await finishedAt('service', point);
      await finishedAt('monolith', point);
    }
  }, 300_000);

  test('leaves writes held until their deadline and refused by the fence after it, until somebody resumes', async () => {
    await killAt('service', 'drain', { holdMs: 2_000, fenceMs: 1_000, drainMs: 0, slackMs: 0 });
    const journal = (await readJournal(ground.work.forward.source.write, ground.place.slice.slice))!;
    const answered = writers.acknowledged.length;
    const refused = writers.refused();
    await eventually(() => Date.now() > Date.parse(journal.deadline!) && writers.refused() > refused, {
      withinMs: 60_000,
    });
    expect(writers.acknowledged.length).toBe(answered);
    const again = await ground.cutOver('service').catch((error: unknown) => error);
    expect(again).toBeInstanceOf(CutoverRefused);
    expect((again as Error).message).toMatch(/resume: expected .*"strangler resume .*" calls it off/);
    expect(await resumed()).toBe('called off');
    expect(await ground.expectWhole()).toBe('monolith');
    await eventually(() => writers.acknowledged.length > answered, { withinMs: 60_000 });
  }, 240_000);

  test('has lost no acknowledged write, doubled none, and let none be taken by both sides', async () => {
    await writers.stop();
    await ground.expectAllThere(writers);
    expect(writers.acknowledged.length).toBeGreaterThan(500);
  }, 240_000);
});
