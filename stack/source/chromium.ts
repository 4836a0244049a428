import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type StackHome, writeWhole } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import { ensureUnpacked } from '../packages/unpack.ts';
import { fromPackages } from './installation.ts';

/** A browser to run: its program, and what its environment needs besides. */
export type Chromium = { program: string; environment: Record<string, string> };

const usualPlaces = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * The Chromium that CHROMIUM names, else the machine's, else Debian's, unpacked under the stack's folder. Rejects where it is not to be
 * had.
 */
export async function findChromium(
  home: StackHome,
  say: (line: string) => void,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Chromium> {
  const program = environment.CHROMIUM || usualPlaces.find((path) => existsSync(path));
  if (program !== undefined) return { program, environment: {} };
  const unpacked = await ensureUnpacked(packageSets.chromium, { home, say }).catch((cause: Error) => {
    throw new Error(
      `expected Chromium in $CHROMIUM, at ${usualPlaces.join(' or ')}, or among Debian's packages; ${cause.message}`,
      { cause },
    );
  });
  const { env } = fromPackages(unpacked).command(unpacked.program, []);
  return { program: unpacked.program, environment: { ...env, FONTCONFIG_FILE: fontsOf(unpacked.folder) } };
}

/** A machine without a browser has seldom fonts: those that were unpacked beside it are told of in a file of their own. */
function fontsOf(folder: string): string {
  const place = join(folder, 'fonts');
  mkdirSync(place, { recursive: true });
  const file = join(place, 'fonts.conf');
  writeWhole(
    file,
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>${join(folder, 'usr/share/fonts')}</dir>
  <cachedir>${place}</cachedir>
</fontconfig>
`,
    0o644,
  );
  return file;
}
