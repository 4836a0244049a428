/**
 * Takes the pictures of docs/watching-a-migration.md from the system that `npm start` has brought up:
 * `node stack/run.mjs e2e/docs/dashboard-pictures.ts [folder] [size-scheme…]`. It changes the catalogue's reads, and sets them
 * back. Sizes are phone, tablet and desk, schemes light and dark; unless told, what the page shows is taken.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { stackSettings } from '@strangler/stack/home/settings.ts';
import { findSystem } from '@strangler/stack/system/system.ts';
import type { Page } from 'playwright-core';
import { launchChromium } from '../browser/chromium.ts';

const [folder = join(repositoryRoot, 'docs/pictures'), ...named] = process.argv.slice(2);
const wanted = named.length > 0 ? named : ['desk-light', 'phone-dark'];

const sizes = { phone: [390, 844], tablet: [1024, 768], desk: [1600, 1000] } as const;

const askForReads = (url: string, signal: AbortSignal): Promise<void> =>
  (async () => {
    while (!signal.aborted) {
      await Promise.all(
        Array.from({ length: 4 }, (_, n) =>
          fetch(`${url}/api/products?limit=${5 + n}`, { signal })
            .then((answer) => answer.arrayBuffer())
            .catch(() => {}),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  })();

const flip = async (page: Page, percent: number): Promise<void> => {
  await page.fill('#reads', String(percent));
  await page.click('button:has-text("Review…")');
  await page.fill('#reason', `a first look at ${percent} %`);
};

const system = findSystem(stackSettings().instance);
const admin = system?.addresses.proxyAdminUrls[0];
if (admin === undefined || !system?.addresses.adminToken)
  throw new Error('expected a system that "npm start" has begun, found none');
mkdirSync(folder, { recursive: true });
const browser = await launchChromium();
const ending = new AbortController();
const asking = askForReads(system.addresses.proxyUrls[0]!, ending.signal);
try {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const [name, [width, height]] of Object.entries(sizes)) {
      if (!wanted.includes(`${name}-${colorScheme}`)) continue;
      const page = await browser.newPage({ viewport: { width, height }, colorScheme });
      page.on('console', (message) => message.type() === 'error' && process.stderr.write(`${message.text()}\n`));
      page.on('pageerror', (error) => process.stderr.write(`${error.stack}\n`));
      await page.goto(`${admin}/dashboard/`);
      await page.waitForSelector('#token:visible');
      await page.fill('#token', system.addresses.adminToken);
      await page.keyboard.press('Enter');
      await page.waitForSelector('.chart path.monolith[d^="M"]', { state: 'attached' });
      await page.waitForTimeout(6_000);
      if (name === 'desk') {
        await flip(page, 10);
        await page.screenshot({ path: join(folder, `flip-${colorScheme}.png`) });
        await page.click('dialog button.primary');
        await page.waitForTimeout(6_000);
      }
      await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
      if (name === 'desk') {
        await flip(page, 0);
        await page.click('dialog button.primary');
        await page.waitForSelector('dialog', { state: 'hidden' });
      }
      await page.close();
    }
  }
} finally {
  ending.abort();
  await asking;
  await browser.close();
}
