import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { readFence } from '../fence/fence-state.ts';
import { canaryTable } from '../pipe/canary.ts';
import type { ShadowFigures, VerifiedTable } from '../stages/gates.ts';
import { measureSettledPipe, verifyAll } from '../stages/measure.ts';
import { isEqual, readVerifications } from '../verify/verify-record.ts';
import { type CutoverFigures, judgeCutover, judgeCutoverPipe, type StandingSlice, standing } from './cutover-gates.ts';
import { type CutoverPipes, CutoverRefused, type CutoverVerdict, type CutoverWork, fencePool } from './cutover-work.ts';
import { decideResume, type Fences } from './decide-resume.ts';
import { unlisted } from './hold-progress.ts';
import { readJournal } from './journal-table.ts';
import { seeProxies } from './see-proxies.ts';

/** A slice's fence on each side, as it is committed now. */
export async function readFences(work: Pick<CutoverWork, 'forward' | 'reverse'>): Promise<Fences> {
  const slice = work.forward.sliceName;
  const [monolith, service] = await Promise.all([
    readFence(fencePool(work, 'monolith'), slice),
    readFence(fencePool(work, 'service'), slice),
  ]);
  return { monolith, service };
}

/** Measures what the gates that need no pipe ask for. Changes nothing. */
export async function measureCutover(
  work: CutoverWork,
  { slice, to }: Pick<CutoverPipes, 'slice' | 'to'>,
  document: FlagDocument,
): Promise<CutoverFigures> {
  const fences = await readFences(work);
  const journal = await readJournal(work.forward.source.write, slice);
  const seen = await seeProxies(work, slice);
  return {
    slice,
    to,
    flag: document,
    resume: decideResume(document, journal, fences),
    fences,
    proxies: { live: seen.live.size, unlisted: unlisted(seen) },
    order: await readOrder(work, slice),
  };
}

/** Where the slices stand that move before this one, or after it. */
async function readOrder({ forward, store, others }: CutoverWork, name: string): Promise<CutoverFigures['order']> {
  const { after } = forward.slice;
  const dependents = (others ?? []).filter((other) => other.after.includes(name)).map(({ slice }) => slice);
  if (after.length === 0 && dependents.length === 0) return { before: [], dependents: [] };
  const standing = async (slice: string): Promise<StandingSlice> => ({
    slice,
    stage: (await store.get(slice))?.document.stage ?? null,
  });
  return {
    before: await Promise.all(after.map(standing)),
    dependents: await Promise.all(dependents.map(standing)),
  };
}

/**
 * Measures and judges everything that must be so before a cut-over; rows are compared where the last comparison was too
 * long ago. Changes nothing but the record of that comparison. @throws CutoverRefused
 */
export async function passGates(
  work: CutoverWork,
  pipes: CutoverPipes,
  tables: { all: readonly MappedTable[]; moving: readonly MappedTable[] },
  document: FlagDocument,
  { verifyWithinMs, force }: { verifyWithinMs: number; force: boolean },
): Promise<CutoverVerdict[]> {
  const pass = (verdicts: CutoverVerdict[]) => {
    const shut = standing(verdicts, force);
    if (shut.length === 0) return;
    work.tell({ kind: 'gates of the cut-over', verdicts });
    throw new CutoverRefused(pipes.slice, pipes.to, shut);
  };
  const owners = judgeCutover(await measureCutover(work, pipes, document));
  pass(owners);
  const onPipe = { ...work, databases: pipes.pipe };
  const measured = async (): Promise<ShadowFigures> => {
    const figures = await measureSettledPipe(onPipe, tables.all);
    const drift = figures.drift.filter(({ table }) => table !== canaryTable);
    return { ...figures, slice: pipes.slice, drift };
  };
  pass([...owners, ...judgeCutoverPipe(await measured(), work.bounds)]);
  const verified =
    (await recentlyVerified(pipes, tables.moving, verifyWithinMs)) ?? (await verifyAll(onPipe, tables.moving));
  const verdicts = [...owners, ...judgeCutoverPipe({ ...(await measured()), verified }, work.bounds)];
  pass(verdicts);
  work.tell({ kind: 'gates of the cut-over', verdicts });
  return verdicts;
}

/** What the last comparison of each table found; null where one is missing, has found something, or is too old. */
async function recentlyVerified(
  { pipe }: Pick<CutoverPipes, 'pipe'>,
  tables: readonly MappedTable[],
  withinMs: number,
): Promise<VerifiedTable[] | null> {
  const records = await readVerifications(pipe.target.read);
  const recent: VerifiedTable[] = [];
  for (const { mapping } of tables) {
    const record = records.get(mapping.target);
    if (record === undefined || !isEqual(record) || Date.now() - record.finishedAt.getTime() > withinMs) return null;
    recent.push(record);
  }
  return recent;
}
