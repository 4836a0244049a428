import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { canaryKeys, parseCanaryStanding } from '@strangler/platform/contracts/canary.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { type FlaggedProxies, openFlaggedProxies } from '../testing/flagged-proxies.ts';
import type { ProxyProgram } from '../testing/proxy-program.ts';

/** Each test has a slice of its own, so that all can be in front of the same two proxies. */
const slices = ['good', 'failing', 'differing', 'quiet', 'orphaned', 'filed'] as const;
type Slice = (typeof slices)[number];

// Latencies of two servers on a busy machine say nothing about either; errors do. That reads differ takes its time to prove.
const sliceFile = (slice: Slice): string => `slice: ${slice}
service: catalog
routes: [ GET /api/${slice} ]
stickyBy: [ header.x-user ]
gates: { canary: { steps: [ 5, 25, 50, 100 ], bake: ${slice === 'differing' ? '30s' : '1s'}, minSamples: 10, maxP99Ratio: 100 } }
${slice === 'differing' ? 'shadow: { calibrate: 0 }' : ''}
`;

describe('a canary', () => {
  let serviceFails = false;
  let proxies: FlaggedProxies;
  let programs: ProxyProgram[];

  const start = (id: string, more: Record<string, string> = {}) => proxies.start({ SERVICE_ID: id, ...more });
  beforeAll(async () => {
    proxies = await openFlaggedProxies({
      label: 'canary',
      monolith: (_req, res) => void res.end('monolith'),
      service: (_req, res) => {
        res.statusCode = serviceFails ? 500 : 200;
        res.end('service');
      },
      slices: Object.fromEntries(slices.map((slice) => [slice, sliceFile(slice)])),
      environment: { ACCESS_LOG: 'none', DRAIN_GRACE: '1000' },
    });
    // However busy the machine is, reads are compared; a few prove that all differ, and each is asked for ten times over.
    const compares = { SHADOW_BUSY: '100', SHADOW_RECHECKS: '4' };
    programs = await Promise.all([start('proxy-1', { WORKERS: '2', ...compares }), start('proxy-2', compares)]);
  }, 180_000);
  afterAll(() => proxies?.end());

  const setPercent = (slice: Slice, percent: number) =>
    changeFlag(proxies.store, slice, (flag) => ({ ...flag, stage: 'canary', reads: { percent, cohorts: [] } }), {
      by: 'ada',
      reason: 'shall bake',
    });
  const flag = async (slice: Slice): Promise<FlagDocument> => (await proxies.store.get(slice))!.document;
  const standing = async (slice: Slice) => {
    const entry = await proxies.consul.kv.get(canaryKeys(proxies.root).standing(slice));
    return entry === undefined ? null : parseCanaryStanding(entry.value);
  };
  const seenBy = async (program: ProxyProgram, slice: Slice) =>
    (await program.status()).canaries!.find((canary) => canary.slice === slice)!;
  /** Users read through all proxies, each time another one, while `meanwhile` runs. */
  const whileRead = async (slice: Slice, meanwhile: () => Promise<void>): Promise<void> => {
    const stopping = new AbortController();
    let user = 0;
    const read = async (program: ProxyProgram) => {
      while (!stopping.signal.aborted) {
        user += 1;
        await fetch(`${program.url}/api/${slice}`, { headers: { 'x-user': `${user}` } })
          .then((answer) => answer.arrayBuffer())
          .catch(() => {});
        await pause(25, stopping.signal);
      }
    };
    const reading = programs.flatMap((program) => [read(program), read(program)]);
    try {
      await meanwhile();
    } finally {
      stopping.abort();
      await Promise.all(reading);
    }
  };
  /** Every step of a canary takes its time, and the machine may be busy. */
  const patienceMs = 120_000;
  const within = { withinMs: 90_000 };

  test(
    'that does well goes through its percentages to 100 % by itself',
    async () => {
      await setPercent('good', 5);
      await whileRead('good', () =>
        eventually(async () => {
          expect(await standing('good')).toMatchObject({ percent: 100, state: 'baked', lacks: [], proxies: 2 });
        }, within),
      );
      const changes = await proxies.store.history('good', 10);
      expect(changes.map(({ change, reads }) => `${change.by} ${reads.percent}`)).toEqual([
        'canary 100',
        'canary 50',
        'canary 25',
        'ada 5',
      ]);
      expect(changes[0]!.change.reason).toMatch(/^up from 50 % to 100 %: service 0 of \d+ reads .* baked for \d+ s$/);

      const seen = await Promise.all(programs.map((program) => seenBy(program, 'good')));
      expect(seen.map(({ steers }) => steers).sort()).toEqual([false, true]);
      // The proxy that does not steer hears of it with its next look.
      await eventually(async () => {
        for (const program of programs) {
          expect((await seenBy(program, 'good')).standing).toMatchObject({ percent: 100, good: [5, 25, 50] });
        }
      }, within);
      const metrics = (await Promise.all(programs.map((program) => program.metrics()))).join('\n');
      expect(metrics).toMatch(/strangler_canary_steps_total\{(?=.*slice="good").*direction="up".*\} 3/);
      expect(metrics).toMatch(/strangler_canary_state\{(?=.*slice="good").*state="baked".*\} 1/);
    },
    patienceMs,
  );

  test(
    'whose service begins to fail at 25 % is stepped back within seconds, and stays until somebody says more',
    async () => {
      const [flagNow, standingNow] = [() => flag('failing'), () => standing('failing')];
      await setPercent('failing', 5);
      await whileRead('failing', async () => {
        await eventually(async () => expect((await flagNow()).reads.percent).toBe(25), within);
        serviceFails = true;
        const back = await eventually(async () => {
          const now = await flagNow();
          expect(now.reads.percent).toBeLessThan(25);
          return now;
        }, within);
        expect(back.change).toMatchObject({ by: 'canary' });
        expect(back.change.reason).toMatch(
          /^back from 25 % to 5 %: the service failed \d+ of \d+ reads .*, the monolith 0 of/,
        );

        // Users at 5 % still meet the failing service: down to the last percentage.
        await eventually(async () => expect((await flagNow()).reads.percent).toBe(0), within);
        await eventually(
          async () => expect(await standingNow()).toMatchObject({ percent: 0, state: 'stopped' }),
          within,
        );
        serviceFails = false;
        const { change } = await flagNow();
        const { seq } = (await standingNow())!;
        await eventually(async () => expect((await standingNow())!.seq).toBeGreaterThan(seq + 3), within);
        expect((await flagNow()).change).toEqual(change);

        await setPercent('failing', 5);
        await eventually(async () => expect(await flagNow()).toMatchObject({ reads: { percent: 25 } }), within);
      });
    },
    patienceMs,
  );

  test(
    'whose service answers well, and otherwise than the monolith, is stepped back where answers are compared',
    async () => {
      // The two name themselves in their answers: no read is the same.
      await setPercent('differing', 25);
      await whileRead('differing', async () => {
        const back = await eventually(async () => {
          const now = await flag('differing');
          expect(now.reads.percent).toBe(0);
          return now;
        }, within);
        expect(back.change).toMatchObject({ by: 'canary' });
        expect(back.change.reason).toMatch(
          /: the service answered \d+ of \d+ compared reads .* otherwise than the monolith; the bound is 0.1 %$/,
        );
        await eventually(
          async () => expect(await standing('differing')).toMatchObject({ percent: 0, state: 'stopped' }),
          within,
        );
      });
    },
    patienceMs,
  );

  test(
    'with little traffic stands still and says what it lacks',
    async () => {
      await setPercent('quiet', 5);
      await eventually(async () => {
        const now = (await standing('quiet'))!;
        expect(now).toMatchObject({ percent: 5, state: 'waiting' });
        expect(now.lacks).toContain('10 more reads at the service (0 of 10)');
      }, within);
      expect((await flag('quiet')).change.by).toBe('ada');
    },
    patienceMs,
  );

  test(
    'is not steered where flags are in a file, which is said once',
    async () => {
      const file = join(proxies.folder, 'flags.json');
      const document = await setPercent('filed', 5);
      await writeFile(file, JSON.stringify({ filed: document }));
      const program = await start('proxy-3', { STRANGLER_FLAGS: `file://${file}` });
      const said = () => program.log.filter(({ msg }) => String(msg).startsWith('a canary is not steered'));
      await eventually(() => expect(said()).toHaveLength(1), within);
      expect((await program.status()).canaries).toEqual([]);
    },
    patienceMs,
  );

  // Last, for one of the two proxies is gone after it.
  test(
    'goes on when the proxy that steers it is killed with -9',
    async () => {
      await setPercent('orphaned', 25);
      await whileRead('orphaned', async () => {
        await eventually(async () => expect((await flag('orphaned')).reads.percent).toBe(50), within);
        const first = (await standing('orphaned'))!.steering;
        await programs[Number(first.at(-1)) - 1]!.stop('SIGKILL');
        await eventually(async () => {
          expect(await standing('orphaned')).toMatchObject({
            percent: 100,
            steering: first === 'proxy-1' ? 'proxy-2' : 'proxy-1',
          });
        }, within);
        expect((await standing('orphaned'))!.good).toEqual([25, 50]);
      });
    },
    patienceMs,
  );
});
