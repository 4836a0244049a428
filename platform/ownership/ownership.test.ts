import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Request, Response } from 'express';
import { epochHeader } from '../contracts/headers.ts';
import { staleEpochHeader } from '../contracts/stale-epoch.ts';
import { Problem, problems } from '../http/problem.ts';
import { epochGuard, fencedWriteResponder } from './epoch-guard.ts';
import { refusal, slice, startTestFlags, type TestFlags } from './ownership.fixture.ts';
import { StaleEpochAnswer, throughSeam } from './through-seam.ts';
import { FencedWrite, withinFence } from './within-fence.ts';

let flags: TestFlags;
beforeEach(async () => {
  flags = await startTestFlags();
  await flags.set('monolith', 3);
  await flags.owner.until((said) => said?.epoch === 3, 5_000);
});
afterEach(() => flags.stop());

const never = 60_000;

describe('whoever follows the owner', () => {
  test('is told of a change as soon as it is in force', async () => {
    const waiting = flags.owner.waitFor('service', never);
    await flags.set('service', 4);
    expect(await waiting).toBe('owns');
    expect(flags.owner.now()).toEqual({ owner: 'service', holder: 'service', epoch: 4, stage: 'writes' });
  });

  test('waits no longer than told', async () => {
    expect(await flags.owner.waitFor('service', 20)).toBe('late');
  });
});

describe('a write within the fence', () => {
  test('is run again until the fence lets it through, and its result is given once', async () => {
    let tries = 0;
    const run = async () => {
      tries += 1;
      if (tries < 4) throw refusal(4, 'service');
      return tries;
    };
    expect(await withinFence(run, { owner: flags.owner, self: 'service', waitMs: never })).toBe(4);
  });

  test('is run again where nobody tells who owns', async () => {
    let tries = 0;
    const run = async () => {
      tries += 1;
      if (tries < 3) throw refusal(1, 'monolith');
      return 'done';
    };
    expect(await withinFence(run, { owner: undefined, self: 'service', waitMs: never })).toBe('done');
  });

  test('gives up at the bound with 503 and Retry-After, nothing done', async () => {
    const run = () => Promise.reject(refusal(3, 'monolith'));
    const gaveUp = withinFence(run, { owner: flags.owner, self: 'service', waitMs: 30 });
    await expect(gaveUp).rejects.toMatchObject({ status: 503, headers: { 'retry-after': '1' }, knownEpoch: 3 });
  });

  test('gives up at once when the ownership moves to another while it waits', async () => {
    await flags.set('service', 4);
    await flags.owner.waitFor('service', never);
    const run = () => Promise.reject(refusal(5, 'monolith'));
    const waiting = withinFence(run, { owner: flags.owner, self: 'service', waitMs: never });
    const refused = expect(waiting).rejects.toMatchObject({ status: 503, knownEpoch: 5 });
    await flags.set('monolith', 5);
    await refused;
  });

  test('of tables that are another’s is done behind an open fence only: where there is none nothing is', async () => {
    const fence = { says: 'none' as 'none' | 'open' };
    let done = 0;
    const write = () =>
      withinFence(async () => (done += 1), {
        ...{ owner: flags.owner, self: 'service' as const, fence: async () => fence.says, waitMs: 30 },
      });
    await expect(write()).rejects.toMatchObject({ status: 503, knownEpoch: 3 });
    expect(done).toBe(0);
    fence.says = 'open';
    expect(await write()).toBe(1);
    fence.says = 'none';
    const waiting = withinFence(async () => (done += 1), {
      ...{ owner: flags.owner, self: 'service', fence: async () => fence.says, waitMs: never },
    });
    await flags.set('service', 4);
    expect(await waiting).toBe(2);
  });

  test('passes on every other error without a second try', async () => {
    let tries = 0;
    const run = () => {
      tries += 1;
      return Promise.reject(new Error('duplicate'));
    };
    await expect(withinFence(run, { owner: flags.owner, self: 'service' })).rejects.toThrow('duplicate');
    expect(tries).toBe(1);
  });
});

describe('a write through a seam', () => {
  const seam = (local: () => Promise<string>, remote: (epoch: number) => Promise<string>, waitMs = never) =>
    throughSeam({ owner: flags.owner, local, remote, waitMs });
  const unexpected = () => Promise.reject(new Error('not expected here'));

  test('is local while the monolith owns, and where there are no flags', async () => {
    expect(await seam(async () => 'here', unexpected)).toBe('here');
    expect(await throughSeam({ owner: undefined, local: async () => 'here', remote: unexpected })).toBe('here');
  });

  test('that meets the fence goes to the service once the flags say so, under their epoch', async () => {
    let tries = 0;
    const local = () => {
      tries += 1;
      return Promise.reject(refusal(4, 'service'));
    };
    const written = seam(local, async (epoch) => `there under ${epoch}`);
    await flags.set('held', 3);
    await flags.owner.until((said) => said?.owner === 'held', never);
    await flags.set('service', 4);
    expect(await written).toBe('there under 4');
    expect(tries).toBeGreaterThan(0);
  });

  test('stays local when the hold is called off and the fence opens again', async () => {
    let open = false;
    const written = seam(() => (open ? Promise.resolve('here') : Promise.reject(refusal(4, 'service'))), unexpected);
    await flags.set('held', 3);
    open = true;
    await flags.set('monolith', 4);
    expect(await written).toBe('here');
  });

  test('that was sent under an epoch which is over goes where the next one says', async () => {
    await flags.set('service', 4);
    await flags.owner.waitFor('service', never);
    const written = seam(
      async () => 'here again',
      (epoch) => Promise.reject(new StaleEpochAnswer(epoch, 5)),
    );
    await flags.set('monolith', 5);
    expect(await written).toBe('here again');
  });

  test('while it is held on its way back goes to the service still', async () => {
    await flags.set('service', 4);
    await flags.set('held', 4, 'writes');
    await flags.owner.until((said) => said?.owner === 'held', never);
    expect(await seam(unexpected, async (epoch) => `there under ${epoch}`)).toBe('there under 4');
  });

  test('is not told that there is no such row by tables that are another’s by now', async () => {
    const fence = async () => ({ slice, epoch: 4, owner: 'service', because: 'closed' }) as const;
    const local = () => Promise.reject(problems.notFound('There is no product 7'));
    const written = throughSeam({ owner: flags.owner, fence, local, remote: async () => 'there', waitMs: never });
    await flags.set('service', 4);
    expect(await written).toBe('there');
    const open = async () => 'open' as const;
    await flags.set('monolith', 5);
    await flags.owner.waitFor('monolith', never);
    const refused = throughSeam({ owner: flags.owner, fence: open, local, remote: unexpected, waitMs: never });
    await expect(refused).rejects.toMatchObject({ status: 404 });
  });

  test('that was refused after its time, because the ownership has moved, is done where it is now', async () => {
    await flags.set('service', 20);
    await flags.owner.waitFor('service', never);
    const remote = async () => {
      await flags.set('monolith', 21);
      await flags.owner.until((said) => said?.epoch === 21, never);
      throw new StaleEpochAnswer(20, 21);
    };
    expect(await seam(async () => 'here', remote, 1)).toBe('here');
  });

  test('gives up at the bound, naming the slice', async () => {
    const gaveUp = seam(() => Promise.reject(refusal(4, 'service')), unexpected, 30);
    await expect(gaveUp).rejects.toThrow(new RegExp(`writes of ${slice}`));
    await expect(gaveUp).rejects.toBeInstanceOf(FencedWrite);
  });
});

describe('the epoch guard', () => {
  const passed = async (method: string, epoch: string | undefined, waitMs = 20): Promise<unknown> => {
    const request = { method, headers: epoch === undefined ? {} : { [epochHeader]: epoch } } as unknown as Request;
    return new Promise((resolve) => {
      const guard = epochGuard({ owner: flags.owner, waitMs });
      Promise.resolve(guard(request, {} as Response, resolve)).catch(resolve);
    });
  };

  test('lets through what names no epoch, the present one or, after its wait, a newer one', async () => {
    for (const epoch of [undefined, '3', '9']) expect(await passed('POST', epoch)).toBeUndefined();
  });

  test('refuses an epoch that is over with 409, naming the one in force', async () => {
    const problem = (await passed('PATCH', '2')) as Problem;
    expect(problem).toMatchObject({ status: 409, headers: { [staleEpochHeader]: '3' } });
  });

  test('never refuses a read', async () => {
    expect(await passed('GET', '1')).toBeUndefined();
  });

  test('lets a newer epoch wait until it is known, and refuses it when a yet newer one is', async () => {
    const waiting = passed('POST', '4', never);
    await flags.set('service', 4);
    expect(await waiting).toBeUndefined();
    const late = passed('POST', '5', never);
    await flags.set('monolith', 6);
    expect(await late).toMatchObject({ status: 409, headers: { [staleEpochHeader]: '6' } });
  });

  test('refuses what is no epoch with 400', async () => {
    for (const epoch of ['0', '-1', 'x', '1, 2']) expect(await passed('POST', epoch)).toMatchObject({ status: 400 });
  });

  test('makes of a write that waited in vain a stale one, only where it named an older epoch', () => {
    const error = new FencedWrite({ slice, epoch: 5, owner: 'monolith' }, undefined, undefined);
    const told = (epoch: string | undefined): unknown => {
      let passed: unknown;
      const request = { headers: epoch === undefined ? {} : { [epochHeader]: epoch } } as unknown as Request;
      fencedWriteResponder()(error, request, {} as Response, (next) => {
        passed = next;
      });
      return passed;
    };
    expect(told('4')).toMatchObject({ status: 409, headers: { [staleEpochHeader]: '5' } });
    expect(told('5')).toBe(error);
    expect(told(undefined)).toBe(error);
    expect(error).toBeInstanceOf(Problem);
  });
});
