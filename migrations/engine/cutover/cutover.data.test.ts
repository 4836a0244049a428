import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cutoverJournalSchema, cutoverKey } from '@strangler/platform/contracts/cutover-journal.ts';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import { OperationUnderWay } from '../pipe/operation-lock.ts';
import { type CutoverGround, onceAppliersAreThere, startCutoverGround, unhurried } from './cutover.fixture.ts';
import { CutoverCalledOff, CutoverRefused } from './cutover-work.ts';
import { hasBegun, otherSide, type Side } from './journal.ts';
import { readJournals } from './journal-table.ts';
import { resumeCutover } from './resume-cutover.ts';
import { runCutover } from './run-cutover.ts';
import type { Writers } from './writers.fixture.ts';

describe('a slice whose writes move under load', () => {
  let ground: CutoverGround;
  let writers: Writers;
  beforeAll(async () => {
    ground = await startCutoverGround('cutover');
    writers = ground.startWriters();
  }, 180_000);
  afterAll(async () => {
    await writers?.stop().catch(() => {});
    await ground?.pipe.close();
  });

  /** What a cut-over throws, when it must not come to its end. */
  const failureOf = async (running: Promise<unknown>): Promise<Error> =>
    await running.then(
      () => {
        throw new Error('expected the cut-over to be refused or called off, found it done');
      },
      (error: Error) => error,
    );
  const owner = async (): Promise<Side> => await ground.expectWhole();
  /** A hook that does something once, at one point of the journal. */
  const at = (point: string, work: () => Promise<unknown> | unknown) => ({
    reached: async (now: string) => {
      if (now === point) await work();
    },
  });
  const calledOff = async (more: Parameters<CutoverGround['with']>[0], options = {}): Promise<CutoverCalledOff> => {
    const from = await owner();
    const { epoch } = (await ground.store.get(ground.place.slice.slice))!.document;
    const cutOver = () => runCutover(ground.with(more), { ...unhurried, to: otherSide(from), ...options });
    const error = await failureOf(onceAppliersAreThere(cutOver));
    if (!(error instanceof CutoverCalledOff)) throw error;
    expect(await owner()).toBe(from);
    const now = (await ground.store.get(ground.place.slice.slice))!.document.epoch;
    const { journal } = error.outcome;
    if (hasBegun(journal, 'hold')) expect(now).toBeGreaterThan(epoch);
    return error;
  };

  test('goes to the service and back, twice, without a write lost, doubled or taken by both', async () => {
    const pauses: number[] = [];
    for (const to of ['service', 'monolith', 'service', 'monolith'] as const) {
      const before = writers.acknowledged.length;
      const done = await ground.cutOver(to);
      expect(await owner()).toBe(to);
      expect(done.timeline.map(({ step }) => step)).toEqual([
        ...['prepare', 'hold', 'fence', 'drain', 'arm', 'commit', 'release'],
      ]);
      pauses.push(done.pauseMs ?? Number.NaN);
      expect(writers.acknowledged.length).toBeGreaterThan(before);
      const copy = await ground.consul.kv.get(cutoverKey(ground.root, ground.place.slice.slice));
      expect(cutoverJournalSchema.parse(JSON.parse(copy!.value))).toEqual(done.journal);
    }
    expect(pauses.every((ms) => ms > 0)).toBe(true);
  }, 180_000);

  test('is called off by a transaction that stays open, which is named, and by a proxy that does not hold', async () => {
    const session = await ground.pools.monolith.getConnection();
    await session.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    const write = async () => {
      await session.beginTransaction();
      await session.query('INSERT INTO entries (worker, seq) VALUES (99, 1)');
    };
    await write();
    const refused = await failureOf(ground.cutOver('service', { fenceMs: 1_000 }));
    expect(refused).toBeInstanceOf(CutoverRefused);
    expect(refused.message).toMatch(
      new RegExp(`writers: expected .*connection ${session.threadId} of .* with an open`),
    );
    await session.rollback();
    expect(await owner()).toBe('monolith');

    const late = await calledOff(at('hold done', write), { fenceMs: 1_000 });
    expect(late.message).toMatch(
      new RegExp(`called off: connection ${session.threadId} of .* kept the monolith's tables`),
    );
    await session.rollback();
    session.release();

    ground.proxy.answers = false;
    const about = { epoch: 1, gate: 'cut-over', deadline: null, heldNow: 0, acknowledged: null } as const;
    const { slice } = ground.work.forward.slice;
    const slow = { ...about, slice, oldest: { route: 'POST /api/products', forMs: 4_200 } };
    const worker = { worker: 1, pid: 1, flagSource: 'store' as const, flags: [], upstreams: [], inFlight: 1 };
    const writes = [{ ...slow, inFlight: [{ side: 'monolith' as const, epoch: 1, writes: 1 }] }];
    ground.proxy.status = { id: 'proxy-1', slices: [], workers: [{ ...worker, writes }] };
    const silent = await calledOff({}, { holdMs: 1_000 });
    ground.proxy.answers = true;
    expect(silent.message).toMatch(/called off: proxy-1 did not say in time that it holds, within 1000 ms/);
    expect(silent.message).toMatch(/proxy-1 has 1 write under way, POST \/api\/products for 4\.2 s/);
    expect(silent.message).toMatch(/strangler advance/);
  }, 180_000);

  test('is refused while a proxy is registered that has no live session', async () => {
    const { consul, place } = ground;
    const id = `${place.proxyService}-stray`;
    await consul.connection.call('register', 'write', (client, wire) =>
      client.agent.service.register({ name: place.proxyService, id, address: '127.0.0.1', port: 1, ...wire }),
    );
    const refused = await failureOf(ground.cutOver('service'));
    await consul.connection.call('deregister', 'write', (client, wire) =>
      client.agent.service.deregister({ id, ...wire }),
    );
    expect(refused).toBeInstanceOf(CutoverRefused);
    expect(refused.message).toContain(
      `proxies: expected every registered proxy alive by its Consul session, found ${id}`,
    );
  }, 180_000);

  test('is called off when the last changes are not applied in time, and goes through once they are', async () => {
    const [applier] = ground.pipe.appliers;
    const late = await calledOff(
      at('hold', () => applier!.signal('SIGSTOP')),
      { drainMs: 150 },
    ).finally(() => applier!.signal('SIGCONT'));
    expect(late.message).toMatch(/called off: \d+ rows?: (entries|totals) .* not applied within 150 ms/);
    await ground.cutOver('service');
    expect(await owner()).toBe('service');
  }, 180_000);

  test('lets only one coordinator work at a time', async () => {
    let second: Error | undefined;
    const first = runCutover(
      ground.with(
        at('prepare', async () => {
          second = await failureOf(ground.cutOver('monolith'));
        }),
      ),
      { ...unhurried, to: 'monolith' },
    );
    expect((await first).kind).toBe('done');
    expect(second).toBeInstanceOf(OperationUnderWay);
    expect(await owner()).toBe('monolith');
  }, 180_000);

  test('is called off when it is stopped before the commit, and finished when after', async () => {
    for (const point of ['prepare done', 'hold', 'fence done', 'drain', 'commit']) {
      const stopping = new AbortController();
      const stopped = await calledOff({ signal: stopping.signal, ...at(point, () => stopping.abort()) });
      expect(stopped.message).toMatch(/called off: it was stopped by whoever began it/);
    }
    const stopping = new AbortController();
    const done = await runCutover(
      ground.with({ signal: stopping.signal, ...at('commit done', () => stopping.abort()) }),
      { ...unhurried, to: 'service' },
    );
    expect(done.journal.outcome).toBe('done');
    expect(await owner()).toBe('service');
  }, 180_000);

  test('is called off when somebody else changes the flags while writes are held', async () => {
    const changed = await calledOff(
      at('arm', async () => {
        const { document, index } = (await ground.store.get(ground.place.slice.slice))!;
        const change = { ...document.change, id: 'another', by: 'somebody', at: new Date().toISOString() };
        await ground.store.put({ ...document, change }, index);
      }),
    );
    expect(changed.message).toMatch(/called off: somebody changed the flags at .* while writes were held/);
  }, 180_000);

  test('refuses a writer whose snapshot is older than the move', async () => {
    const session = await ground.pools.service.getConnection();
    await session.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await session.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    await session.query('SELECT COUNT(*) FROM records');
    await ground.cutOver('monolith');
    const refused = await session.query('INSERT INTO records (worker_no, seq) VALUES (98, 1)').then(
      () => undefined,
      (error: unknown) => readFenceRefusal(error),
    );
    await session.rollback();
    session.release();
    expect(refused).toMatchObject({ owner: 'monolith', because: 'closed' });
  }, 180_000);

  test('leaves nothing to resume, and every acknowledged write on both sides once', async () => {
    expect((await resumeCutover(ground.work)).kind).toBe('nothing');
    await writers.stop();
    await ground.expectAllThere(writers);
    expect(writers.acknowledged.length).toBeGreaterThan(500);
    expect(writers.refused()).toBeGreaterThan(0);
    const journals = await readJournals(ground.work.forward.source.write, ground.place.slice.slice, 100);
    expect(new Set(journals.map(({ outcome }) => outcome))).toEqual(new Set(['done', 'called off']));
  }, 180_000);
});
