import { expect } from '@jest/globals';
import type { AppliedMessage } from '@strangler/platform/contracts/applied-message.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import type { Direction } from '../engine/pipe/direction.ts';
import { announcedChanges } from '../testing/hear-applied.ts';
import type { Pipe, PipeProcess } from '../testing/start-pipe.ts';
import { bothEnds, newestChanges } from './goods.fixture.ts';

export const seed = Number(process.env.TEST_SEED ?? 20_261_121);

/** A broker that makes or takes away sixteen quorum queues beside other tests takes its time. */
const patience = { withinMs: 60_000 };

export async function equalEnds(pipe: Pipe): Promise<void> {
  const [source, target] = await bothEnds(pipe);
  expect(target).toEqual(source);
}

export const allAnnounced = (pipe: Pipe, heard: readonly AppliedMessage[]) =>
  eventually(async () => {
    const announced = announcedChanges(heard);
    expect((await newestChanges(pipe)).filter((change) => !announced.has(change))).toEqual([]);
  }, patience);

export const isReady = (applier: PipeProcess | undefined) =>
  eventually(
    async () =>
      expect(await applier?.ready()).toEqual({
        ready: true,
        checks: { forward: expect.stringMatching(/^ok/), reverse: expect.stringMatching(/^ok/) },
      }),
    patience,
  );

/** Until its health tells of this about a direction, and fails for it. */
export const troubled = (applier: PipeProcess | undefined, pattern: RegExp, direction: Direction = 'forward') =>
  eventually(
    async () =>
      expect(await applier?.ready()).toMatchObject({
        ready: false,
        checks: { [direction]: expect.stringMatching(pattern) },
      }),
    patience,
  );
