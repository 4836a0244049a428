import type { CanaryStanding } from '@strangler/platform/contracts/canary.ts';
import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import {
  type FlagDocument,
  initialFlagDocument,
  type Stage,
  stages,
} from '@strangler/platform/contracts/flag-document.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { SliceFigures } from '@strangler/platform/contracts/slice-figures.ts';
import type { SliceOrder } from '@strangler/platform/contracts/slice-order.ts';
import type { AskedProxy } from '@strangler/platform/proxy-status/ask-proxies.ts';
import {
  type Instances,
  instancesOf,
  obeyedBy,
  type ShadowOfMinute,
  shadowOf,
} from '@strangler/platform/proxy-status/slice-standing.ts';

/** All that is known of one slice, from wherever it came. */
export type SliceInputs = {
  slice: string;
  service: string;
  /** Whether it has tables, whose copy must be proven before users read it. */
  keepsData: boolean;
  /** Undefined where nothing was ever said of it. */
  flag: FlagDocument | undefined;
  /** Why the newest document is not obeyed. */
  refused: string | null;
  figures: SliceFigures | null;
  cutover: CutoverJournal | null;
  canary: CanaryStanding | null;
  order: SliceOrder | null;
};

/** A slice as it is shown. */
export type SliceView = {
  slice: string;
  service: string;
  keepsData: boolean;
  stage: Stage;
  reads: { percent: number; cohorts: number };
  comparedPercent: number;
  writes: { owner: 'monolith' | 'service' | 'held'; until: string | null };
  epoch: number;
  /** The last change; null before the first. */
  change: FlagDocument['change'] | null;
  refused: string | null;
  obeyed: { obeying: number; all: number };
  instances: Instances | null;
  shadow: ShadowOfMinute | null;
  /** Writes that wait at all proxies. */
  heldNow: number;
  canary: CanaryStanding | null;
  cutover: CutoverJournal | null;
  figures: SliceFigures | null;
  order: SliceOrder | null;
  next: { into: Stage; command: string } | null;
  back: { into: Stage; command: string } | null;
  deadLetterCommands: string[];
};

export type ProxyView = { id: string | null; address: string; workers: number; failure: string | null };

export const stageAfter = (stage: Stage): Stage | null => stages[stages.indexOf(stage) + 1] ?? null;
export const stageBefore = (stage: Stage): Stage | null => stages[stages.indexOf(stage) - 1] ?? null;

/** Where one slice stands, as a page shows it. Times stand as instants: how long ago is for the page to say. */
export const viewOfSlice = (inputs: SliceInputs, proxies: readonly ProxyStatus[]): SliceView => {
  const { slice, service, keepsData, refused, figures, cutover, order } = inputs;
  const never = { id: 'none', by: 'nobody', at: new Date(0).toISOString(), reason: '' };
  const flag = inputs.flag ?? initialFlagDocument(slice, never);
  const { stage, reads, writes, epoch, shadow } = flag;
  const next = stageAfter(stage);
  // From `complete` there is no way back.
  const back = next === null ? null : stageBefore(stage);
  const held = proxies.flatMap(({ workers }) =>
    workers.flatMap((worker) => worker.writes?.filter((one) => one.slice === slice) ?? []),
  );
  return {
    ...{ slice, service, keepsData, stage, epoch, refused, figures, order },
    reads: { percent: reads.percent, cohorts: reads.cohorts.length },
    comparedPercent: shadow?.percent ?? 100,
    writes: { owner: writes.owner, until: writes.owner === 'held' ? writes.deadline : null },
    change: inputs.flag?.change ?? null,
    obeyed: obeyedBy(proxies, flag),
    instances: instancesOf(proxies, slice),
    shadow: stage === 'shadow' || stage === 'canary' ? shadowOf(proxies, slice) : null,
    heldNow: held.reduce((sum, { heldNow }) => sum + heldNow, 0),
    canary: stage === 'canary' ? inputs.canary : null,
    cutover,
    next: next === null ? null : { into: next, command: `npx strangler advance ${slice}` },
    back: back === null ? null : { into: back, command: `npx strangler rollback ${slice}` },
    deadLetterCommands: [`npx strangler dlq list ${slice}`, `npx strangler dlq replay ${slice} --all`],
  };
};

export const viewOfProxies = (asked: readonly AskedProxy[]): ProxyView[] =>
  asked.map((proxy) =>
    'status' in proxy
      ? { id: proxy.status.id, address: proxy.address, workers: proxy.status.workers.length, failure: null }
      : { id: null, address: proxy.address, workers: 0, failure: proxy.failure },
  );
