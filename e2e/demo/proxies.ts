import { proxyStatusPath, proxyStatusSchema, type WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';

/** The slice that demos move. */
const slice = 'catalog';

/** Sets the percentage and waits until every worker of every proxy obeys; milliseconds from the write's begin to each worker's obedience. */
export const flipReads = async (
  store: FlagStore,
  adminUrls: readonly string[],
  percent: number,
  reason: string,
): Promise<number[]> => {
  const startedAtMs = performance.timeOrigin + performance.now();
  const { change } = await changeFlag(
    store,
    slice,
    (document) => ({ ...document, reads: { ...document.reads, percent } }),
    { by: 'demo', reason },
  );
  const obeyed = await eventually(async () => {
    const flags = (await workersOf(adminUrls)).map((worker) => worker.flags.find((flag) => flag.slice === slice));
    if (flags.some((flag) => flag?.changeId !== change.id)) throw new Error('a worker does not obey yet');
    return flags.map((flag) => flag!.inForceAtMs - startedAtMs);
  });
  return obeyed;
};

/** What every worker of every proxy says of itself. */
export const workersOf = async (adminUrls: readonly string[]): Promise<WorkerStatus[]> => {
  const all = await Promise.all(
    adminUrls.map(async (url) => proxyStatusSchema.parse(await (await fetch(new URL(proxyStatusPath, url))).json())),
  );
  return all.flatMap((proxy) => proxy.workers);
};

/** Throws until every worker would send requests to so many instances of the catalogue. */
export const expectHealthy = (workers: readonly WorkerStatus[], count: number): void => {
  for (const { worker, upstreams } of workers) {
    const healthy =
      upstreams.find((one) => one.name === slice)?.instances.filter((one) => one.state === 'healthy').length ?? 0;
    if (healthy < count) throw new Error(`worker ${worker} sees ${healthy} healthy instances, ${count} expected`);
  }
};
