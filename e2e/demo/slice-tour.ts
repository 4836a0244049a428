import { pause } from '@strangler/platform/backoff.ts';
import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';
import { operatorEnvironment } from '@strangler/stack/system/system.ts';
import { compareSides, deadLetterCount } from '../soak/cutover/compare-sides.ts';
import { killed } from '../soak/faults.ts';
import { startCrowd } from '../traffic/crowd.ts';
import { createTally, type Tally } from '../traffic/tally.ts';
import type { Visit, Visitor } from '../traffic/visitor.ts';
import type { ScenarioOptions } from './scenario-options.ts';
import type { Shop } from './shop.ts';
import { followCanary } from './story/follow-canary.ts';
import { runOnceOpen } from './strangler.ts';

/** One slice taken through its stages while visitors come. */
export type SliceTour = {
  /** Sends the visitors in, at the demo's rate, until `work` is done. */
  busy(work: () => Promise<void>): Promise<void>;
  /** Lets them come for as long as a step is watched. */
  watch(): Promise<void>;
  advance(what: string): Promise<void>;
  /** From the stage `monolith` to `reads`. */
  toReads(): Promise<void>;
  /** From `reads` to `writes`. */
  toWrites(): Promise<void>;
  /** From the stage `monolith` to `writes`; `beforeWrites` comes between the last read and the first write there. */
  toService(beforeWrites: () => Promise<void>): Promise<void>;
  backToMonolith(): Promise<void>;
  /** From `writes` to `complete`. */
  end(): Promise<void>;
  /** A process dies and is started again. */
  kill(name: string, when: string): Promise<void>;
  /** Compares all rows of the slice, and counts its dead letters. */
  verify(): Promise<void>;
  flag(): Promise<FlagDocument>;
  environment: OperatorEnvironment;
  figures: { cutovers: number; killed: string[]; compared: number; different: number; deadLettered: number };
  tally(): Tally;
};

/** Who owns the writes; while they are held, who owned them before. */
export const holderOf = ({ writes }: FlagDocument): 'monolith' | 'service' =>
  writes.owner === 'held' ? writes.from : writes.owner;

/** A canary that one can watch. */
export const watchableCanary = {
  gates: {
    // Where everything runs on one machine a second is noise.
    canary: { steps: [50, 100], bake: '2s', maxErrorRate: 0.01, maxP99Ratio: 20, p99Slack: '1s', minSamples: 20 },
  },
};

export const createSliceTour = ({
  slice,
  shop,
  flags,
  visitors,
  random,
  onVisit,
  mostInFlight = visitors.length,
  options: { requestsPerSecond, secondsPerStep, progress, signal },
}: {
  slice: string;
  shop: Shop;
  flags: FlagStore;
  visitors: readonly Visitor[];
  random: () => number;
  onVisit?: (visit: Visit) => void;
  /** Requests under way at most; as many as there are people unless told, who do one thing after the other. */
  mostInFlight?: number;
  options: ScenarioOptions;
}): SliceTour => {
  const environment = operatorEnvironment(shop.system);
  const command = { environment, signal };
  const keeper = createTally();
  const figures = { cutovers: 0, killed: [] as string[], compared: 0, different: 0, deadLettered: 0 };
  // A slice that nobody has touched yet has none.
  const untouched = { id: 'none', by: 'the demo', at: new Date(0).toISOString(), reason: '' };
  const flag = async (): Promise<FlagDocument> =>
    (await flags.get(slice))?.document ?? initialFlagDocument(slice, untouched);
  const watch = async (): Promise<void> => {
    await pause(secondsPerStep * 1000, signal);
    signal.throwIfAborted();
    const { total, failed } = keeper.tally();
    progress.say(`  ${total} requests, ${failed} failed`);
  };
  const advance = async (what: string): Promise<void> => {
    progress.say(`strangler advance ${slice}: ${what}`);
    await runOnceOpen(['advance', slice, '--reason', 'the demo'], command);
  };
  const toReads = async (): Promise<void> => {
    await advance('capture, and a copy');
    await advance('what was copied is the same');
    await advance('the first users read from the service');
    await followCanary({ slice, flag, environment }, progress, signal);
    await advance('every read goes to the service');
  };
  const toWrites = async (): Promise<void> => {
    await advance('the writes move');
    figures.cutovers += 1;
    await watch();
  };
  return {
    environment,
    figures,
    flag,
    watch,
    advance,
    toReads,
    toWrites,
    tally: () => keeper.tally(),
    async busy(work) {
      const see = (visit: Visit): void => {
        keeper.add(visit);
        onVisit?.(visit);
      };
      const crowd = startCrowd({
        ...{ shoppers: visitors, requestsPerSecond, onVisit: see, random, mostInFlight },
      });
      try {
        await work();
      } finally {
        await crowd.stop();
      }
    },
    async toService(beforeWrites) {
      await toReads();
      await beforeWrites();
      await toWrites();
    },
    async end() {
      progress.say(
        `strangler advance ${slice} --confirm ${slice}: the monolith's tables are put away, while visitors go on`,
      );
      await runOnceOpen(['advance', slice, '--confirm', slice, '--settle', '2s', '--reason', 'the demo'], command);
      await watch();
    },
    async backToMonolith() {
      progress.say(`strangler rollback ${slice}: all the way back, while they buy`);
      for (let { stage } = await flag(); stage !== 'monolith'; { stage } = await flag()) {
        await runOnceOpen(['rollback', slice, '--reason', 'the demo'], command);
        if (stage === 'writes') {
          figures.cutovers += 1;
          await watch();
        }
        progress.say(`  at ${(await flag()).stage}`);
      }
    },
    async kill(name, when) {
      progress.say(`${name} killed with -9${when}`);
      figures.killed.push(name);
      const fault = killed(shop.system.process(name));
      await fault.begin();
      await fault.end();
    },
    async verify() {
      // In the end there is one copy of the rows, and nothing to compare it with.
      if (['monolith', 'complete'].includes((await flag()).stage)) return;
      const rows = await compareSides(slice, command);
      figures.compared += rows.compared;
      figures.different += rows.different;
      figures.deadLettered += await deadLetterCount(slice, command);
      progress.say(`  verified: ${rows.compared} rows, ${rows.different} differ`);
    },
  };
};
