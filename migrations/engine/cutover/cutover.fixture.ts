import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { deleteConsumer } from '@strangler/platform/outbox/declare.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { type Pipe, startPipe } from '../../testing/start-pipe.ts';
import { applyConsumer } from '../pipe/apply-consumer.ts';
import { type CutoverEvent, CutoverRefused, type CutoverWork } from './cutover-work.ts';
import { areWhole } from './decide-resume.ts';
import { isOpen, type Side } from './journal.ts';
import { readJournal } from './journal-table.ts';
import { readFences } from './measure-cutover.ts';
import { type CutoverPlace, openWork } from './open-work.fixture.ts';
import { type ProxyStandIn, startProxyStandIn } from './proxy.fixture.ts';
import { type CutoverOptions, runCutover } from './run-cutover.ts';
import { rowsOfSide, startWriters, type Writers } from './writers.fixture.ts';

/** A coordinator as a process of its own, which makes itself ready and waits to be told what to do. */
export type CoordinatorProcess = {
  /** Runs a cut-over, killed with -9 by itself at a point; resolves with the signal that ended it, or its exit code. */
  run(options: CutoverOptions, killAt: string | null): Promise<string | number>;
  output(): string;
  kill(): void;
};

const coordinatorMain = fileURLToPath(new URL('./coordinator-process.fixture.ts', import.meta.url));

export function spawnCoordinator(place: CutoverPlace): CoordinatorProcess {
  const child: ChildProcess = spawn(process.execPath, [coordinatorMain], {
    env: { ...programEnvironment() },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output = (output + chunk).slice(-20_000);
    });
  }
  child.stdin?.on('error', () => {});
  child.stdin?.write(`${JSON.stringify(place)}\n`);
  return {
    async run(options, killAt) {
      child.stdin?.write(`${JSON.stringify({ options, killAt })}\n`);
      const [code, signal] = await once(child, 'exit');
      return signal ?? code;
    },
    output: () => output,
    kill: () => child.kill('SIGKILL'),
  };
}

/** A slice at `reads` between two databases, with relays, an applier and what stands for a proxy. */
export type CutoverGround = {
  pipe: Pipe;
  place: CutoverPlace;
  work: CutoverWork;
  consul: ConsulClient;
  store: FlagStore;
  root: string;
  proxy: ProxyStandIn;
  pools: Record<Side, Pool>;
  events: CutoverEvent[];
  startWriters(workers?: number, pauseMs?: number): Writers;
  /** Waits for appliers that have lost their queues to a busy broker; every other gate refuses at once. */
  cutOver(to: Side, options?: Partial<CutoverOptions>): ReturnType<typeof runCutover>;
  /** Work of its own, such as with another signal. */
  with(more: Partial<CutoverWork>): CutoverWork;
  setFlag(edit: { stage?: Stage; owner?: Side }): Promise<void>;
  /** Flag, both fences and journal say the same, and nothing is left to do. @returns the owner */
  expectWhole(): Promise<Side>;
  /** Waits until both sides have the same rows, and holds what was acknowledged against them. */
  expectAllThere(writers: Writers): Promise<void>;
};

export const workerCount = 4;

/** Bounds that a machine at its limits keeps, too. */
export const unhurried = { holdMs: 30_000, fenceMs: 20_000, drainMs: 30_000, canaryMs: 60_000 };

/** How long appliers may take to have their queues again. */
const appliersWithinMs = 90_000;

/** Runs a cut-over again while its appliers have lost their queues to a busy broker. */
export async function onceAppliersAreThere<T>(cutOver: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + appliersWithinMs;
  for (;;) {
    try {
      return await cutOver();
    } catch (error) {
      const isTheirs = error instanceof CutoverRefused && error.verdicts.every(({ gate }) => gate === 'applier');
      if (!isTheirs || performance.now() > deadline) throw error;
      await pause(250);
    }
  }
}

export async function startCutoverGround(label: string): Promise<CutoverGround> {
  const { consulUrl, rabbitmqUrl } = testServers();
  const root = `test-cutover-${randomBytes(4).toString('hex')}`;
  const flags = `consul://${new URL(consulUrl).host}/${root}`;
  const pipe = await startPipe({
    label,
    relays: 1,
    appliers: 0,
    applierEnv: { STRANGLER_FLAGS: flags },
    sourceSql: [
      'CREATE TABLE entries (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, worker INT NOT NULL, seq INT NOT NULL, UNIQUE KEY once (worker, seq))',
      'CREATE TABLE totals (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)',
    ],
    targetSql: [
      'CREATE TABLE records (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, worker_no INT NOT NULL, seq INT NOT NULL, UNIQUE KEY once (worker_no, seq))',
      'CREATE TABLE sums (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)',
    ],
    slice: {
      tables: `  - source: entries
    target: records
    columns: { id: id, worker_no: worker, seq: seq }
  - source: totals
    target: sums
`,
    },
  });
  try {
    return await ready();
  } catch (error) {
    await pipe.close().catch(() => {});
    throw error;
  }

  async function ready(): Promise<CutoverGround> {
    const { slice, folder, exchange } = pipe;
    const place: CutoverPlace = {
      slice,
      folder,
      monolithUrl: pipe.source.adminUrl,
      serviceUrl: pipe.target.adminUrl,
      consulUrl,
      rabbitmqUrl,
      root,
      exchange,
      proxyService: `proxy-of-${root}`,
    };
    const events: CutoverEvent[] = [];
    const { work, close } = openWork(place, (event) => events.push(event));
    const { consul, store } = { consul: work.consul.client, store: work.store };
    pipe.onClose(async () => {
      for (const key of (await consul.kv.list(`${root}/`)).keys()) await consul.kv.delete(key);
      await close();
    });
    pipe.onClose(() => deleteConsumer(work.rabbit, exchange, applyConsumer(work.reverse.slice)));
    const setFlag: CutoverGround['setFlag'] = async ({ stage, owner }) => {
      await changeFlag(
        store,
        slice.slice,
        (now) => ({
          ...now,
          reads: { ...now.reads, percent: 100 },
          ...(stage === undefined ? {} : { stage }),
          ...(owner === undefined ? {} : { writes: { owner } }),
        }),
        { by: 'a test', reason: '' },
      );
    };
    await setFlag({ stage: 'reads' });
    const pools = { monolith: writerPool(pipe.source.url), service: writerPool(pipe.target.url) };
    pipe.onClose(() => Promise.all([pools.monolith.end(), pools.service.end()]));
    await pools.monolith.query(
      `INSERT INTO totals (id, n) VALUES ${Array.from({ length: workerCount }, (_, at) => `(${at + 1}, 0)`).join(', ')}`,
    );
    await Promise.all([
      pipe.startApplier(),
      pipe.startRelay({ DATABASE_URL: pipe.target.url, RELAY_ID: 'service-relay' }),
    ]);
    const proxy = await startProxyStandIn({ id: 'proxy-1', slice: slice.slice, consul, root, store });
    pipe.onClose(() => proxy.end());

    const ground: CutoverGround = {
      pipe,
      place,
      work,
      consul,
      store,
      root,
      proxy,
      pools,
      events,
      startWriters: (workers = workerCount, pauseMs = 5) =>
        startWriters({ slice: slice.slice, store, pools, workers, pauseMs }),
      cutOver: (to, options = {}) => onceAppliersAreThere(() => runCutover(work, { ...unhurried, to, ...options })),
      with: (more) => ({ ...work, ...more }),
      setFlag,
      async expectWhole() {
        const stored = await store.get(slice.slice);
        const document = stored!.document;
        const { owner } = document.writes;
        if (owner === 'held') throw new Error(`${slice.slice}: still held`);
        expect(document.stage).toBe(owner === 'service' ? 'writes' : 'reads');
        const fences = await readFences(work);
        expect({ owner, fences, whole: areWhole(owner, fences) }).toMatchObject({ whole: true });
        if (fences[owner] !== undefined) expect(fences[owner].owner).toBe(owner);
        const journal = await readJournal(work.forward.source.write, slice.slice);
        if (journal !== undefined) {
          expect(isOpen(journal)).toBe(false);
          expect({ outcome: journal.outcome, owner }).toEqual({
            outcome: owner === journal.to ? 'done' : 'called off',
            owner,
          });
        }
        return owner;
      },
      async expectAllThere(writers) {
        await eventually(
          async () => {
            const [monolith, service] = await Promise.all([
              rowsOfSide(pools.monolith, 'monolith'),
              rowsOfSide(pools.service, 'service'),
            ]);
            expect(service).toEqual(monolith);
          },
          { withinMs: 60_000 },
        );
        const { entries, totals } = await rowsOfSide(pools.monolith, 'monolith');
        const there = entries.map((line) => line.slice(line.indexOf('/') + 1)).sort();
        const answered = writers.acknowledged.map(({ worker, seq }) => `${worker}/${seq}`).sort();
        expect(there).toEqual(answered);
        const counts = Array.from(
          { length: workerCount },
          (_, at) => `${at + 1}/${writers.acknowledged.filter(({ worker }) => worker === at + 1).length}`,
        );
        expect(totals).toEqual(counts);
        const sides = new Map<number, Set<Side>>();
        for (const { epoch, side } of writers.acknowledged) {
          sides.set(epoch, (sides.get(epoch) ?? new Set()).add(side));
        }
        for (const [epoch, both] of sides)
          expect({ epoch, owners: [...both] }).toEqual({ epoch, owners: [[...both][0]] });
        expect(await pipe.deadLetters()).toEqual([]);
      },
    };
    return ground;
  }
}

const writerPool = (url: string): Pool => createPool(url, { connectionLimit: 12 });
