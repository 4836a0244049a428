import type { FlagDocument, Stage } from '@strangler/platform/contracts/flag-document.ts';
import { type GateBounds, judgeShadow, type ShadowFigures } from '../stages/gates.ts';
import type { CutoverVerdict } from './cutover-work.ts';
import type { Fences, ResumeDecision } from './decide-resume.ts';
import { otherSide, type Side } from './journal.ts';

/** What is measured before a cut-over is begun. */
export type CutoverFigures = {
  slice: string;
  to: Side;
  flag: Pick<FlagDocument, 'stage' | 'writes' | 'reads'>;
  /** What a coordinator may have left to do. */
  resume: ResumeDecision;
  fences: Fences;
  proxies: { live: number; unlisted: readonly string[] };
  /** Stages of the slices that the slice file names in `after`, and of those whose files name this one; null where it has no flags. */
  order: { before: readonly StandingSlice[]; dependents: readonly StandingSlice[] };
};

export type StandingSlice = { slice: string; stage: Stage | null };

const isMoved = ({ stage }: StandingSlice): boolean => stage === 'writes' || stage === 'complete';
const places = (slices: readonly StandingSlice[]): string =>
  slices.length === 0 ? 'none' : slices.map(({ slice, stage }) => `${slice} at ${stage ?? 'monolith'}`).join(', ');

/** The gates that ask for nothing but who owns what, and who stands in front of it. */
export const judgeCutover = ({ slice, to, flag, resume, fences, proxies, order }: CutoverFigures): CutoverVerdict[] => {
  const from = otherSide(to);
  const stage = to === 'service' ? 'reads' : 'writes';
  const inTheWay = to === 'service' ? order.before.filter((one) => !isMoved(one)) : order.dependents.filter(isMoved);
  const stands = `stage ${flag.stage}, reads ${flag.reads.percent} % service, writes ${flag.writes.owner}`;
  return [
    verdict({
      gate: 'resume',
      isOpen: resume === 'nothing',
      found: resume === 'nothing' ? 'no cut-over left half-way' : `a cut-over that is neither done nor called off`,
      bound: 'no cut-over left half-way',
      todo: `"strangler resume ${slice}" ${resume === 'finish' ? 'finishes it' : 'calls it off'}`,
    }),
    verdict({
      gate: 'stage',
      isOpen: flag.stage === stage && flag.writes.owner === from && (to === 'monolith' || flag.reads.percent === 100),
      found: stands,
      bound: `stage ${stage}, reads 100 % service, writes ${from}`,
      todo: `see "strangler status ${slice}" for the stage that comes first`,
    }),
    verdict({
      gate: 'fence',
      isOpen: (fences[from]?.state ?? 'open') === 'open' && (fences[to]?.state ?? 'closed') === 'closed',
      found: `${from} ${fences[from]?.state ?? 'without a fence'}, ${to} ${fences[to]?.state ?? 'without a fence'}`,
      bound: `${from} open, ${to} closed`,
      todo: `"strangler resume ${slice}" puts them where the flags say`,
    }),
    verdict({
      gate: 'order',
      isOpen: inTheWay.length === 0,
      found: places(to === 'service' ? order.before : order.dependents),
      bound:
        to === 'service'
          ? 'writes with the service for every slice that `after` names'
          : `writes with the monolith for every slice whose \`after\` names ${slice}`,
      todo: inTheWay
        .map((one) => `"strangler ${to === 'service' ? 'advance' : 'rollback'} ${one.slice}" comes first`)
        .join('; '),
    }),
    verdict({
      gate: 'proxies',
      isOpen: proxies.unlisted.length === 0,
      found:
        proxies.unlisted.length === 0
          ? `${proxies.live} alive`
          : `${proxies.unlisted.join(', ')} registered without a live session`,
      bound: 'every registered proxy alive by its Consul session',
      todo: 'see that it reaches Consul, or end it and deregister it',
    }),
  ];
};

/** The gates that the pipe from the old owner to the new one must meet. */
export const judgeCutoverPipe = (figures: ShadowFigures, bounds: GateBounds): CutoverVerdict[] =>
  judgeShadow(figures, bounds).filter(
    ({ gate }) => gate !== 'backfill' && (gate !== 'verify' || figures.verified !== null),
  );

export const standing = (verdicts: readonly CutoverVerdict[], force: boolean): CutoverVerdict[] =>
  verdicts.filter(({ state, forcible }) => state === 'shut' && !(force && forcible));

type Measured = Omit<CutoverVerdict, 'state' | 'todo' | 'forcible'> & { isOpen: boolean; todo: string };

const verdict = ({ isOpen, todo, ...rest }: Measured): CutoverVerdict => ({
  ...rest,
  state: isOpen ? 'open' : 'shut',
  todo: isOpen ? null : todo,
  forcible: false,
});

/** A gate that was found shut by trying. */
export const shutGate = (gate: CutoverVerdict['gate'], found: string, bound: string, todo: string): CutoverVerdict => ({
  gate,
  state: 'shut',
  found,
  bound,
  todo,
  forcible: false,
});
