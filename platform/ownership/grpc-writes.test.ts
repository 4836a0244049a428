import { Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { GrpcCallError, GrpcError } from '../grpc/errors.ts';
import { problems } from '../http/problem.ts';
import { asStaleEpochAnswer, writeUnderEpoch } from './grpc-writes.ts';
import { startTestFlags, type TestFlags } from './ownership.fixture.ts';
import { StaleEpochAnswer } from './through-seam.ts';
import { FencedWrite } from './within-fence.ts';

let flags: TestFlags;
beforeEach(async () => {
  flags = await startTestFlags();
  await flags.set('service', 3);
  await flags.owner.until((said) => said?.epoch === 3, 5_000);
});
afterEach(() => flags.stop());

const under = (epoch?: string) => {
  const metadata = new Metadata();
  if (epoch !== undefined) metadata.set('x-strangler-epoch', epoch);
  return { metadata, owner: flags.owner, waitMs: 20 };
};
const never = async (): Promise<never> => {
  throw new Error('not expected to be run');
};
/** As its caller sees it. */
const seenBy = (failure: GrpcError | undefined) =>
  new GrpcCallError(
    { method: 'm', address: 'a', attempts: 1 },
    { code: failure?.code ?? status.UNKNOWN, details: '', metadata: failure?.metadata ?? new Metadata() },
  );
const failureOf = (writing: Promise<unknown>) =>
  writing.then(
    () => undefined,
    (error: unknown) => error as GrpcError,
  );

describe('a write that came by gRPC', () => {
  test('is done under the present epoch, under one that is not known yet, and under none', async () => {
    for (const epoch of ['3', '4', undefined]) {
      expect(await writeUnderEpoch(async () => 'done', under(epoch))).toBe('done');
    }
  });

  test('under an epoch that is over is ABORTED with nothing done, and its caller knows it for that', async () => {
    const failure = await failureOf(writeUnderEpoch(never, under('2')));
    expect(failure).toMatchObject({ code: status.ABORTED });
    expect(asStaleEpochAnswer(2, seenBy(failure))).toEqual(new StaleEpochAnswer(2, 3));
  });

  test('with an epoch that is none is INVALID_ARGUMENT', async () => {
    const failure = await failureOf(writeUnderEpoch(never, under('three')));
    expect(failure).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test('that the fence held up is UNAVAILABLE, or ABORTED where its epoch was over meanwhile', async () => {
    const held = new FencedWrite({ slice: 'catalog', epoch: 4, owner: 'monolith' }, flags.owner.now(), undefined);
    const fenced = () => Promise.reject(held);
    const refused = await failureOf(writeUnderEpoch(fenced, under()));
    expect(refused).toMatchObject({ code: status.UNAVAILABLE });
    expect(seenBy(refused).metadata.get('x-reason')).toEqual(['fenced']);
    expect(await failureOf(writeUnderEpoch(fenced, under('3')))).toMatchObject({ code: status.ABORTED });
  });

  test('passes on what else is thrown', async () => {
    const failure = await failureOf(writeUnderEpoch(() => Promise.reject(problems.notFound('no')), under('3')));
    expect(failure).toMatchObject({ status: 404 });
    const other = seenBy(new GrpcError('ABORTED', ''));
    expect(asStaleEpochAnswer(3, other)).toBe(other);
  });
});
