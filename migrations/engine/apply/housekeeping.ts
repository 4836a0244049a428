import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { PipeDatabases } from '../pipe/open-databases.ts';
import { pruneTombstones } from './prune-tombstones.ts';
import type { MappedTable } from './row-shape.ts';
import { tellSourceApplied } from './tell-applied.ts';

export type HousekeepingOptions = {
  databases: Pick<PipeDatabases, 'slice' | 'source' | 'target'>;
  tables: readonly MappedTable[];
  /** Whether the pipe's rows were copied before they were captured; true unless told. */
  copied?: boolean;
  /** Changes of the slice that lie with the dead letters. */
  deadLetters(): Promise<number>;
  log: Log;
  /** 10 s unless told. */
  tellEveryMs?: number;
  /** 1 h unless told. */
  pruneEveryMs?: number;
};

export type Housekeeping = { stop(): Promise<void> };

/**
 * What an applier does beside applying: now and then it tells the source how far the target is, without which the outbox
 * keeps every change, and takes away tombstones that nobody needs any more. Several may do it at once.
 */
export function startHousekeeping(options: HousekeepingOptions): Housekeeping {
  const {
    databases,
    tables,
    copied = true,
    deadLetters,
    log,
    tellEveryMs = 10_000,
    pruneEveryMs = 3_600_000,
  } = options;
  const { slice, source, target } = databases;
  const stopping = new AbortController();
  const { signal } = stopping;

  const every = async (everyMs: number, what: string, work: () => Promise<unknown>): Promise<void> => {
    while (!signal.aborted) {
      try {
        await work();
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, `${what}; trying again later`);
      }
      await pause(everyMs, signal);
    }
  };

  const working = Promise.all([
    every(tellEveryMs, 'the source could not be told what is applied', () =>
      tellSourceApplied(source.write, target.read, slice.slice),
    ),
    every(pruneEveryMs, 'tombstones could not be taken away', async () => {
      const { pruned } = await pruneTombstones({
        source: source.read,
        target: target.apply,
        tables: tables.map(({ mapping }) => mapping.target),
        copied,
        deadLetters: await deadLetters(),
        signal,
      });
      if (pruned > 0) log.info({ pruned }, 'tombstones were taken away');
    }),
  ]);
  return {
    async stop() {
      stopping.abort();
      await working;
    },
  };
}
