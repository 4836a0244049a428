import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileFlagStore } from './file-store.ts';
import { describeFlagStore } from './store-conformance.ts';

describeFlagStore('a local file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'flags-'));
  const file = join(folder, 'flags.json');
  return {
    store: createFileFlagStore(file),
    other: createFileFlagStore(file),
    vandalise: async (slice, text) => {
      const all = JSON.parse(await readFile(file, 'utf8'));
      await writeFile(file, JSON.stringify({ ...all, [slice]: JSON.parse(text) }));
    },
    close: () => rm(folder, { recursive: true }),
  };
});
