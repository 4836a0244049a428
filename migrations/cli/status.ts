import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { FlagListing } from '@strangler/platform/flags/store.ts';
import type { AskedProxy } from '@strangler/platform/proxy-status/ask-proxies.ts';
import {
  type Instances,
  instancesOf,
  obeyedBy,
  type ShadowOfMinute,
  shadowOf,
} from '@strangler/platform/proxy-status/slice-standing.ts';
import type { SliceProgress } from '../engine/stages/progress-board.ts';
import { formatCount } from './progress-view.ts';
import { formatTable } from './table.ts';

export type SliceStatus = {
  slice: string;
  flag: FlagDocument;
  /** Workers of all proxies that obey the flag document as it stands, and how many there are. */
  workers: { obeying: number; all: number };
  instances: Instances | null;
  shadow: ShadowOfMinute | null;
};

export type Status = {
  slices: SliceStatus[];
  /** Documents that do not parse; what was in force before them stays. */
  refused: { slice: string; why: string }[];
  /** Slices whose flags proxies obey although the store does not hold them any more. */
  lost: { slice: string; workers: number }[];
  proxies: { address: string; id: string | null; workers: number; failure: string | null }[];
  /** Copies and comparisons, as far as they were last told of. */
  progress: SliceProgress[];
};

/** Joins what the flag store holds with what the proxies say they do. */
export const summarise = (
  listing: FlagListing,
  proxies: readonly AskedProxy[],
  progress: readonly SliceProgress[] = [],
): Status => {
  const answered = proxies.flatMap((proxy) => ('status' in proxy ? [proxy.status] : []));
  const workers = answered.flatMap((proxy) => proxy.workers);

  return {
    slices: [...listing.flags].map(([slice, { document }]) => ({
      slice,
      flag: document,
      workers: obeyedBy(answered, document),
      instances: instancesOf(answered, slice),
      shadow: shadowOf(answered, slice),
    })),
    progress: [...progress],
    lost: lostFlags(listing, workers),
    refused: [...listing.refused].map(([slice, fault]) => ({ slice, why: fault.message })),
    proxies: proxies.map((proxy) =>
      'status' in proxy
        ? { address: proxy.address, id: proxy.status.id, workers: proxy.status.workers.length, failure: null }
        : { address: proxy.address, id: null, workers: 0, failure: proxy.failure },
    ),
  };
};

const sumOf = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, one) => sum + one, 0);

const lostFlags = (listing: FlagListing, workers: readonly WorkerStatus[]): Status['lost'] => {
  const obeyed = new Map<string, number>();
  for (const { flags } of workers) {
    for (const { slice } of flags) {
      if (!listing.flags.has(slice)) obeyed.set(slice, (obeyed.get(slice) ?? 0) + 1);
    }
  }
  return [...obeyed].map(([slice, count]) => ({ slice, workers: count }));
};

/** `catalog   shadow: 512 compared in the last minute, 0 different, 3 dropped (busy 3)`. */
const describeShadow = ({ slice, flag }: SliceStatus, shadow: NonNullable<SliceStatus['shadow']>): string => {
  if (flag.stage !== 'shadow' && flag.stage !== 'canary') return `${slice}: shadow off at stage ${flag.stage}`;
  const { compared, different, dropped } = shadow;
  const reasons = Object.entries(dropped).sort(([, one], [, other]) => other - one);
  const why =
    reasons.length === 0 ? '' : ` (${reasons.map(([name, count]) => `${name} ${formatCount(count)}`).join(', ')})`;
  return `${slice}: shadow ${formatCount(compared)} compared in the last minute, ${formatCount(different)} different, ${formatCount(sumOf(dropped))} dropped${why}`;
};

/** The status as people read it. */
export const formatStatus = ({ slices, refused, lost, proxies, progress }: Status): string => {
  const parts: string[] = [];
  parts.push(
    slices.length === 0
      ? lost.length > 0 || refused.length > 0
        ? 'The flag store holds no document that can be obeyed.'
        : 'No slice has flags yet: everything is on the monolith. Begin with "strangler flag set <slice> --reads 1".'
      : formatTable(
          ['SLICE', 'STAGE', 'READS ON SERVICE', 'WRITES', 'EPOCH', 'OBEYED BY', 'SERVICE', 'LAST CHANGE'],
          slices.map(({ slice, flag, workers, instances }) => [
            slice,
            flag.stage,
            `${flag.reads.percent} %${flag.reads.cohorts.length === 0 ? '' : ` + ${flag.reads.cohorts.length} cohorts`}`,
            flag.writes.owner,
            flag.epoch,
            workers.all === 0 ? 'no proxy seen' : `${workers.obeying} of ${workers.all} workers`,
            instances === null ? '-' : `${instances.healthy} of ${instances.known} healthy`,
            `${flag.change.at} ${flag.change.by}${flag.change.reason === '' ? '' : `: ${flag.change.reason}`}`,
          ]),
        ),
  );
  const compared = slices.flatMap((one) => (one.shadow === null ? [] : [describeShadow(one, one.shadow)]));
  if (compared.length > 0) parts.push(compared.join('\n'));
  if (proxies.length > 0) {
    parts.push(
      formatTable(
        ['PROXY', 'ADMIN', 'WORKERS'],
        proxies.map(({ id, address, workers, failure }) => [
          id ?? '?',
          address,
          failure === null ? workers : `does not answer: ${failure}`,
        ]),
      ),
    );
  }
  const underWay = progress.flatMap(({ slice, tables }) =>
    Object.entries(tables)
      .filter(([, { state }]) => state !== 'done')
      .map(([table, { work, state, rows, rowsEstimate, at }]) => [
        ...[slice, table, work, state],
        `${formatCount(rows)} of about ${formatCount(Math.max(rows, rowsEstimate))} rows`,
        at,
      ]),
  );
  if (underWay.length > 0) {
    parts.push(formatTable(['SLICE', 'TABLE', 'WORK', 'STATE', 'ROWS', 'LAST TOLD'], underWay));
  }
  for (const { slice, workers } of lost) {
    parts.push(
      `LOST: the store has no document for ${slice} any more, and ${workers} workers go on as it last said. ` +
        "Put it back before anything else: the last lines of flag-changes.jsonl in a proxy's data folder have it.",
    );
  }
  for (const { why } of refused) parts.push(`REFUSED, the last good document stays in force: ${why}`);
  return parts.join('\n\n');
};
