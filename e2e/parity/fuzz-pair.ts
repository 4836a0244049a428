import { fileURLToPath } from 'node:url';
import { openPipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { sideAt } from '@strangler/migrations/http/side.ts';
import { loadApiDescription } from '@strangler/migrations/openapi/load-description.ts';
import type { Running } from '@strangler/migrations/parity/fuzz/run-plan.ts';
import { observeDatabases } from '@strangler/migrations/parity/observe/databases.ts';
import { rulesOfSlice } from '@strangler/migrations/parity/rules-of-slice.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { type ParityPair, startParityPair } from './pair.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));

/** Monolith and catalogue, ready to be told apart. */
export type FuzzPair = {
  pair: ParityPair;
  running: Running;
  /** Makes the catalogue wrong in one way; null: right again. */
  plant(fault: string | null): Promise<void>;
  stop(): Promise<void>;
};

/** Starts both with equal data, the catalogue so that faults can be planted. */
export async function startFuzzPair(label: string): Promise<FuzzPair> {
  const pair = await startParityPair(label, { catalogEnv: { NODE_ENV: 'test', PLANTED_FAULT: 'none' } });
  const closers: (() => unknown)[] = [() => pair.stop()];
  try {
    const folder = `${repository}migrations/slices`;
    const slice = (await readSliceDirectory(folder)).find((one) => one.slice === 'catalog');
    if (slice === undefined) throw new Error(`${folder}: expected a slice catalog, found none`);
    const { shop, own } = pair.databases;
    const ends = { sourceUrl: shop.adminUrl, targetUrl: own.adminUrl };
    const pipe = openPipeDatabases({ slice, folder: `${folder}/catalog`, ...ends, captures: false });
    closers.push(() => pipe.close());
    const sides = [sideAt('monolith', pair.monolith.url), sideAt('catalog', pair.catalog.url)] as const;
    for (const side of sides) closers.push(() => side.close());
    const described = await loadApiDescription(`${repository}extracted/catalog/openapi.yaml`);
    const operations = described.filter(({ path }) => path.startsWith('/api/'));
    const { admin, customer, otherCustomer, third } = pair.tokens;
    return {
      pair,
      running: {
        operations,
        sides,
        tokens: { admin, customer, otherCustomer, third },
        rules: rulesOfSlice(slice),
        observer: await observeDatabases(pipe),
        slowerByMs: 1_000,
        reset: () => pair.data.restore(),
        refused: new Map(),
      },
      async plant(fault) {
        const answer = await fetch(`${pair.catalog.url}/test/planted-fault`, {
          method: 'PUT',
          body: JSON.stringify({ fault }),
        });
        if (!answer.ok) throw new Error(await answer.text());
      },
      stop: async () => {
        for (const close of closers.splice(0).reverse()) await close();
      },
    };
  } catch (error) {
    for (const close of closers.splice(0).reverse()) await close();
    throw error;
  }
}
