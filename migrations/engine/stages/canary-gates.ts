import type { CanaryStanding } from '@strangler/platform/contracts/canary.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Verdict } from './gates.ts';

/** What is looked at before the service answers all reads. */
export type ReadsFigures = {
  document: FlagDocument;
  /** Where the canary stands, as the proxy that steers it says every second; null where nobody does. */
  standing: CanaryStanding | null;
  nowMs: number;
};

/** How old the word of the proxy that steers may be, by this machine's clock. */
export const mostStandingAgeMs = 10_000;

/** The gate into `reads`: the canary has baked at 100 % and keeps its bounds now. It may be forced: no write depends on it. */
export const judgeIntoReads = (figures: ReadsFigures): Verdict[] => {
  const trouble = troubleOf(figures);
  const { standing, document } = figures;
  return [
    {
      gate: 'canary',
      state: trouble === null ? 'open' : 'shut',
      found:
        trouble?.found ?? `${document.reads.percent} %, baked for ${seconds(standing?.bakedMs ?? 0)}: ${standing?.why}`,
      bound: '100 % of the reads, baked, within the bounds of the slice file',
      todo: trouble?.todo ?? null,
      forcible: true,
    },
  ];
};

type Trouble = { found: string; todo: string };

const troubleOf = ({ document, standing, nowMs }: ReadsFigures): Trouble | null => {
  const { slice, reads, change } = document;
  if (standing === null) {
    return {
      found: 'no proxy says where the canary stands',
      todo: `see that proxies with the slice file of ${slice} run, with their flags in Consul`,
    };
  }
  const ageMs = Math.abs(nowMs - Date.parse(standing.at));
  if (!(ageMs < mostStandingAgeMs)) {
    return {
      found: `${standing.steering} last said where the canary stands ${seconds(ageMs)} ago, or by a clock that is off by as much`,
      todo: 'see that proxies run and reach Consul, and that the clocks of the machines agree',
    };
  }
  if (standing.changeId !== change.id) {
    return {
      found: `what is known of the canary is older than the change that ${change.by} made at ${change.at}`,
      todo: 'wait until the canary has baked anew',
    };
  }
  if (standing.state === 'stopped') {
    return {
      found: `${change.by} lowered it to ${reads.percent} %: ${change.reason}`,
      todo: `mend the cause, then "strangler flag set ${slice} --reads ${standing.steps.find((step) => step > 0)}" lets it begin again`,
    };
  }
  if (reads.percent !== 100 || standing.percent !== 100 || standing.state !== 'baked') {
    return {
      found: `${reads.percent} %, ${standing.state}: ${standing.why}`,
      todo:
        standing.state === 'off'
          ? `"strangler flag set ${slice} --reads ${standing.steps[0]}" begins it`
          : `wait: the canary goes on by itself. It lacks ${standing.lacks.join('; ') || 'its further percentages'}`,
    };
  }
  return null;
};

const seconds = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
