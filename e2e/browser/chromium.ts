import { stackHome } from '@strangler/stack/home/paths.ts';
import { findChromium } from '@strangler/stack/source/chromium.ts';
import { type Browser, chromium } from 'playwright-core';

/**
 * Starts Chromium without a window, with a profile of its own that goes with it, and asking nobody outside for anything. It is unpacked
 * first where the machine has none; rejects where it cannot be had.
 */
export const launchChromium = async (): Promise<Browser> => {
  const { program, environment } = await findChromium(stackHome(), (line) => process.stderr.write(`${line}\n`));
  return chromium.launch({
    executablePath: program,
    env: { ...process.env, ...environment },
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
};
