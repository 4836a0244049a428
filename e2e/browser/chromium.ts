import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const usualPlaces = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The Chromium of this machine: what CHROMIUM names, else where distributions put it; undefined where there is none. */
export const findChromium = (environment: NodeJS.ProcessEnv = process.env): string | undefined =>
  environment.CHROMIUM || usualPlaces.find((path) => existsSync(path));

export const howToGetChromium =
  'expected Chromium in $CHROMIUM or at /usr/bin/chromium, found none: "apt-get install chromium", or name one';

/** Starts it without a window, with a profile of its own that goes with it, and asking nobody outside for anything. */
export const launchChromium = async (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
