import { writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { canaryKeys, parseCanaryStanding } from '@strangler/platform/contracts/canary.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { type FlaggedProxies, openFlaggedProxies } from '../testing/flagged-proxies.ts';
import type { ProxyProgram } from '../testing/proxy-program.ts';

type Side = { listener: RequestListener; fail(failing: boolean): void };
const sideOf = (name: string): Side => {
  let failing = false;
  return {
    listener: (_req, res) => {
      res.statusCode = failing ? 500 : 200;
      res.end(name);
    },
    fail: (now) => {
      failing = now;
    },
  };
};

// Latencies of two servers on a busy machine say nothing about either; errors do.
const slice = `slice: catalog
service: catalog
routes: [ GET /api/products, POST /api/products ]
stickyBy: [ header.x-user ]
gates: { canary: { steps: [ 5, 25, 50, 100 ], bake: 1s, minSamples: 20, maxP99Ratio: 100 } }
`;

describe('a canary', () => {
  let service: Side;
  let proxies: FlaggedProxies;

  beforeEach(async () => {
    service = sideOf('service');
    proxies = await openFlaggedProxies({
      label: 'canary',
      monolith: sideOf('monolith').listener,
      service: service.listener,
      slice,
      environment: { ACCESS_LOG: 'none', DRAIN_GRACE: '1000' },
    });
  });
  afterEach(() => proxies.end());

  const start = (id: string, more: Record<string, string> = {}) => proxies.start({ SERVICE_ID: id, ...more });
  const startTwo = () => Promise.all([start('proxy-1', { WORKERS: '2' }), start('proxy-2')]);
  const setPercent = (percent: number) =>
    changeFlag(proxies.store, 'catalog', (flag) => ({ ...flag, stage: 'canary', reads: { percent, cohorts: [] } }), {
      by: 'ada',
      reason: 'shall bake',
    });
  const flag = async (): Promise<FlagDocument> => (await proxies.store.get('catalog'))!.document;
  const standing = async () => {
    const entry = await proxies.consul.kv.get(canaryKeys(proxies.root).standing('catalog'));
    return entry === undefined ? null : parseCanaryStanding(entry.value);
  };
  /** Users read through all proxies, each time another one, until the test is over. */
  const drive = (programs: readonly ProxyProgram[]): void => {
    const stopping = new AbortController();
    let user = 0;
    const read = async (program: ProxyProgram) => {
      while (!stopping.signal.aborted) {
        user += 1;
        await fetch(`${program.url}/api/products`, { headers: { 'x-user': `${user}` } })
          .then((answer) => answer.arrayBuffer())
          .catch(() => {});
        await pause(10, stopping.signal);
      }
    };
    const reading = programs.flatMap((program) => [read(program), read(program), read(program)]);
    proxies.atEnd(async () => {
      stopping.abort();
      await Promise.all(reading);
    });
  };
  /** Every step of a canary takes its time, and the machine may be busy. */
  const patienceMs = 120_000;
  const within = { withinMs: 90_000 };

  test(
    'that does well goes through its percentages to 100 % by itself',
    async () => {
      await setPercent(5);
      const programs = await startTwo();
      drive(programs);
      await eventually(async () => {
        expect(await standing()).toMatchObject({ percent: 100, state: 'baked', lacks: [], proxies: 2 });
      }, within);
      const changes = await proxies.store.history('catalog', 10);
      expect(changes.map(({ change, reads }) => `${change.by} ${reads.percent}`)).toEqual([
        'canary 100',
        'canary 50',
        'canary 25',
        'ada 5',
      ]);
      expect(changes[0]!.change.reason).toMatch(/^up from 50 % to 100 %: service 0 of \d+ reads .* baked for \d+ s$/);

      const seen = (await Promise.all(programs.map((program) => program.status()))).map(
        ({ canaries }) => canaries![0]!,
      );
      expect(seen.map(({ steers }) => steers).sort()).toEqual([false, true]);
      // The proxy that does not steer hears of it with its next look.
      await eventually(async () => {
        for (const program of programs) {
          const { canaries } = await program.status();
          expect(canaries![0]!.standing).toMatchObject({ percent: 100, good: [5, 25, 50] });
        }
      }, within);
      const metrics = (await Promise.all(programs.map((program) => program.metrics()))).join('\n');
      expect(metrics).toMatch(/strangler_canary_steps_total\{.*direction="up".*\} 3/);
      expect(metrics).toMatch(/strangler_canary_state\{.*state="baked".*\} 1/);
    },
    patienceMs,
  );

  test(
    'whose service begins to fail at 25 % is stepped back within seconds, and stays until somebody says more',
    async () => {
      await setPercent(5);
      drive(await startTwo());
      await eventually(async () => expect((await flag()).reads.percent).toBe(25), within);
      service.fail(true);
      const back = await eventually(async () => {
        const now = await flag();
        expect(now.reads.percent).toBeLessThan(25);
        return now;
      }, within);
      expect(back.change).toMatchObject({ by: 'canary' });
      expect(back.change.reason).toMatch(
        /^back from 25 % to 5 %: the service failed \d+ of \d+ reads .*, the monolith 0 of/,
      );

      // Users at 5 % still meet the failing service: down to the last percentage.
      await eventually(async () => expect((await flag()).reads.percent).toBe(0), within);
      await eventually(async () => expect(await standing()).toMatchObject({ percent: 0, state: 'stopped' }), within);
      service.fail(false);
      const { change } = await flag();
      const { seq } = (await standing())!;
      await eventually(async () => expect((await standing())!.seq).toBeGreaterThan(seq + 3), within);
      expect((await flag()).change).toEqual(change);

      await setPercent(5);
      await eventually(async () => expect(await flag()).toMatchObject({ reads: { percent: 25 } }), within);
    },
    patienceMs,
  );

  test(
    'whose service answers well, and otherwise than the monolith, is stepped back where answers are compared',
    async () => {
      await proxies.writeSlice(`${slice}shadow: { calibrate: 0 }\n`);
      // The two name themselves in their answers: no read is the same.
      await setPercent(25);
      drive([await start('proxy-1', { SHADOW_BUSY: '100' })]);
      const back = await eventually(async () => {
        const now = await flag();
        expect(now.reads.percent).toBe(0);
        return now;
      }, within);
      expect(back.change).toMatchObject({ by: 'canary' });
      expect(back.change.reason).toMatch(
        /: the service answered \d+ of \d+ compared reads .* otherwise than the monolith; the bound is 0.1 %$/,
      );
      await eventually(async () => expect(await standing()).toMatchObject({ percent: 0, state: 'stopped' }), within);
    },
    patienceMs,
  );

  test(
    'goes on when the proxy that steers it is killed with -9',
    async () => {
      await setPercent(25);
      const programs = await startTwo();
      drive(programs);
      await eventually(async () => expect((await flag()).reads.percent).toBe(50), within);
      const first = (await standing())!.steering;
      await programs[Number(first.at(-1)) - 1]!.stop('SIGKILL');
      await eventually(async () => {
        expect(await standing()).toMatchObject({ percent: 100, steering: first === 'proxy-1' ? 'proxy-2' : 'proxy-1' });
      }, within);
      expect((await standing())!.good).toEqual([25, 50]);
    },
    patienceMs,
  );

  test(
    'with little traffic stands still and says what it lacks',
    async () => {
      await setPercent(5);
      await start('proxy-1');
      await eventually(async () => {
        const now = (await standing())!;
        expect(now).toMatchObject({ percent: 5, state: 'waiting' });
        expect(now.lacks).toContain('20 more reads at the service (0 of 20)');
      }, within);
      expect((await flag()).change.by).toBe('ada');
    },
    patienceMs,
  );

  test(
    'is not steered where flags are in a file, which is said once',
    async () => {
      const file = join(proxies.folder, 'flags.json');
      const document = await setPercent(5);
      await writeFile(file, JSON.stringify({ catalog: document }));
      const program = await start('proxy-1', { STRANGLER_FLAGS: `file://${file}` });
      const said = () => program.log.filter(({ msg }) => String(msg).startsWith('a canary is not steered'));
      await eventually(() => expect(said()).toHaveLength(1), within);
      expect((await program.status()).canaries).toEqual([]);
    },
    patienceMs,
  );
});
