import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { takeOrders } from '@strangler/migrations/cli/take-orders.ts';
import { type Stage, stages } from '@strangler/platform/contracts/flag-document.ts';
import { figuresKeys, type SliceFigures } from '@strangler/platform/contracts/slice-figures.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { type FlaggedProxies, openFlaggedProxies } from '@strangler/strangler-proxy/testing/flagged-proxies.ts';
import type { ProxyProgram } from '@strangler/strangler-proxy/testing/proxy-program.ts';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from '../browser/chromium.ts';

const tokens = { vera: 'v'.repeat(32), ada: 'a'.repeat(32) };
const slice = `slice: catalog
service: catalog
routes:
  - GET /api/products
`;
const patience = 30_000;

describe('the dashboard in Chromium', () => {
  let folder: string;
  let proxies: FlaggedProxies;
  let proxy: ProxyProgram;
  /** Between the proxy and these. */
  let redis: TcpProxy;
  let consul: TcpProxy;
  let isMonolithAway = false;
  let browser: Browser;
  let page: Page;
  const faults: string[] = [];

  // Where the machine has none, it is fetched first.
  beforeAll(async () => {
    browser = await launchChromium();
  }, 600_000);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
    const file = join(folder, 'tokens.json');
    const list = [
      { name: 'vera', role: 'viewer', token: tokens.vera },
      { name: 'ada', role: 'admin', token: tokens.ada },
    ];
    await writeFile(file, JSON.stringify(list), { mode: 0o600 });
    proxies = await openFlaggedProxies({
      label: 'dashboard-e2e',
      monolith: (req, res) => (isMonolithAway ? req.socket.destroy() : res.end('{"from":"monolith"}')),
      service: (_req, res) => res.end('{"from":"service"}'),
      slices: { catalog: slice },
      environment: { WORKERS: '1', ADMIN_TOKENS_FILE: file },
    });
    const { redisUrl, consulUrl } = testServers();
    [redis, consul] = await Promise.all([startTcpProxy(redisUrl), startTcpProxy(consulUrl)]);
    const lines = { REDIS_URL: redis.url, STRANGLER_FLAGS: proxies.flagsAt(`${consul.host}:${consul.port}`) };
    proxy = await proxies.start(lines);
  });

  afterAll(async () => {
    await browser?.close();
    await proxies?.end();
    await Promise.all([redis?.close(), consul?.close()]);
    if (folder) await rm(folder, { recursive: true });
  });

  const visit = async (token: string, viewport = { width: 1280, height: 900 }): Promise<void> => {
    const context = await browser.newContext({ viewport });
    page = await context.newPage();
    page.setDefaultTimeout(patience);
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => {
      // Before signing in the session is asked for, and is refused; browsers write that down as an error.
      if (message.type() === 'error' && !message.text().includes('401')) faults.push(message.text());
    });
    await page.goto(`${proxy.adminUrl}/dashboard/`);
    await page.waitForSelector('#token:visible');
    await page.keyboard.type(token);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#board:visible');
    await page.waitForSelector('h1:has-text("catalog")');
  };
  afterEach(async () => {
    await page?.context().close();
    expect(faults.splice(0)).toEqual([]);
  });

  const percent = () => page.textContent('[data-figure=percent]');
  const served = () => page.textContent('[data-figure=service]');
  const ask = async (): Promise<void> => {
    await Promise.all(Array.from({ length: 40 }, async () => (await fetch(`${proxy.url}/api/products`)).text()));
  };

  test('flips the reads by mouse, shows what it will do first, and then what has become of it', async () => {
    await visit(tokens.ada);
    await page.click('button:text-is("50 %")');
    await page.click('button:has-text("Review…")');
    await page.waitForSelector('dialog li:has-text("50 % of users are answered by the service")');
    expect(await percent()).toBe('0 %');
    await page.fill('#reason', 'half, by mouse');
    await page.click('dialog button.primary');
    await eventually(async () => expect(await percent()).toBe('50 %'));
    await eventually(async () => {
      await ask();
      expect(await served()).toMatch(/^[1-9][\d.]*\/s/);
    });
    await page.waitForSelector('section[aria-label=History] tr:has-text("ada"):has-text("half, by mouse")');
    expect(await page.textContent('#told')).toContain('0 % to 50 %');
    const { change } = (await proxies.store.get('catalog'))!.document;
    expect([change.by, change.reason]).toEqual(['ada', 'half, by mouse']);
  });

  test('flips them back by keyboard alone, and not where somebody thinks better of it', async () => {
    await visit(tokens.ada, { width: 390, height: 844 });
    await page.focus('#reads');
    const setTo = async (value: string): Promise<void> => {
      await page.keyboard.press('Control+A');
      await page.keyboard.type(value);
      await page.keyboard.press('Enter');
      await page.waitForSelector('dialog[open]');
    };
    await setTo('0');
    await page.keyboard.type('no, wait');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'hidden' });
    expect((await proxies.store.get('catalog'))?.document.reads.percent).toBe(50);
    await setTo('0');
    await page.keyboard.type('back, by keyboard');
    await page.keyboard.press('Enter');
    await eventually(async () => expect(await percent()).toBe('0 %'));
    // Nothing hangs over the edge of a phone.
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  });

  test('lets a viewer look and offers nothing else', async () => {
    await visit(tokens.vera);
    expect(await page.isDisabled('#reads')).toBe(true);
    expect(await page.isDisabled('button:has-text("Review…")')).toBe(true);
    expect(await page.textContent('#flip-note')).toContain('viewer');
    expect(await page.locator('button:has-text("Advance to")').count()).toBe(0);
  });

  test('says what is away and what is done meanwhile, until it is there again', async () => {
    await visit(tokens.vera);
    const away = () =>
      page.evaluate("[...document.querySelectorAll('.trouble')].map((one) => one.dataset.trouble)") as Promise<
        string[]
      >;
    // What fails often enough is taken for away, and what answers again for there.
    const askElsewhere = () => Promise.all(Array.from({ length: 20 }, () => fetch(`${proxy.url}/elsewhere`)));
    const isAway = (what: string) =>
      eventually(async () => {
        await askElsewhere();
        expect(await away()).toEqual([what]);
      });
    const isThere = () =>
      eventually(async () => {
        await askElsewhere();
        expect(await away()).toEqual([]);
      });
    await isThere();
    await redis.refuse();
    await isAway('redis');
    expect(await page.textContent('.trouble')).toContain('counts rate limits by itself');
    await redis.pass();
    await isThere();
    await consul.refuse();
    await isAway('flags');
    await consul.pass();
    await isThere();
    isMonolithAway = true;
    await isAway('monolith');
    isMonolithAway = false;
    await isThere();
  });

  test('orders every step to writes by mouse and back by keyboard, each carried out once by whoever takes orders', async () => {
    const carriedOut: string[] = [];
    const log = createLog({ name: 'test', level: 'silent' });
    // Stands for the engine, whose own steps have tests of their own: it moves the stage and nothing else.
    const engine = async (words: readonly string[], terminal: { out(text: string): void }): Promise<number> => {
      const [what, name, , by, , reason] = words as [string, string, string, string, string, string];
      const after = await changeFlag(
        proxies.store,
        name,
        (document) => {
          const stage = stages[stages.indexOf(document.stage) + (what === 'advance' ? 1 : -1)] as Stage;
          const isServed = stage === 'reads' || stage === 'writes';
          return {
            ...document,
            stage,
            reads: { percent: isServed ? 100 : 0, cohorts: [] },
            writes: { owner: stage === 'writes' ? 'service' : 'monolith' },
            epoch: document.epoch + 1,
          };
        },
        { by, reason },
      );
      carriedOut.push(`${what} ${after.stage} ${by}`);
      terminal.out(`${name}: stage ${after.stage}`);
      return exitCodes.done;
    };
    const taking = takeOrders({
      ...{ consul: proxies.consul, root: proxies.root, store: proxies.store, slices: ['catalog'], run: engine },
      terminal: { out: () => {}, err: () => {}, environment: {}, log, signal: new AbortController().signal },
    });
    try {
      const figures: SliceFigures = {
        ...{ slice: 'catalog', at: new Date().toISOString(), everyMs: 60_000, by: 'test', failure: null },
        ...{ measured: null, takesOrders: true },
      };
      await proxies.consul.kv.put(figuresKeys(proxies.root).slice('catalog'), JSON.stringify(figures));
      await visit(tokens.ada);
      const now = (stage: Stage) => page.waitForSelector(`.stages li[aria-current=step]:has-text("${stage}")`);
      for (const stage of ['sync', 'shadow', 'canary', 'reads', 'writes'] as const) {
        await page.click(`button:text-is("Advance to ${stage}…")`);
        await page.fill('#reason', 'on');
        await page.click('dialog button.primary');
        await now(stage);
      }
      for (const stage of ['reads', 'canary', 'shadow', 'sync', 'monolith'] as const) {
        await page.locator(`button:text-is("Go back to ${stage}…")`).focus();
        await page.keyboard.press('Enter');
        await page.waitForSelector('dialog[open]');
        await page.keyboard.type('back');
        await page.keyboard.press('Enter');
        await now(stage);
      }
    } finally {
      await taking.stop();
    }
    const steps = ['sync', 'shadow', 'canary', 'reads', 'writes'].map((stage) => `advance ${stage} ada`);
    const back = ['reads', 'canary', 'shadow', 'sync', 'monolith'].map((stage) => `rollback ${stage} ada`);
    expect(carriedOut).toEqual([...steps, ...back]);
  });
});
