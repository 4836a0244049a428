import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { deleteConsumer } from '@strangler/platform/outbox/declare.ts';
import { narrowCapture, removeCapture } from '../capture/install-capture.ts';
import { type CutoverWork, fencePool } from '../cutover/cutover-work.ts';
import { removeFence } from '../fence/install-fence.ts';
import { applyConsumer } from '../pipe/apply-consumer.ts';
import { referencePart } from '../pipe/direction.ts';
import type { PipeDatabases } from '../pipe/open-databases.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { forcedPast, passGates } from './change-stage.ts';
import { type Copier, judgeCopies, judgeFlow, standingGates } from './gates.ts';
import { measureSettledPipe, verifyAll } from './measure.ts';
import { retireTables } from './retire-tables.ts';
import { retiredName } from './retired-name.ts';
import { StageInterrupted, StageRefused, type StageWork } from './stage-work.ts';

export type CompleteOptions = {
  force: boolean;
  /** How long the monolith's processes have to stop reading the tables, once the flag says so. */
  settleMs: number;
};

/** What one direction's pipe works with. */
export const onPipe = (work: CutoverWork, databases: PipeDatabases): StageWork => ({ ...work, databases });

/** Source tables of a slice that move, as the monolith names them. */
export const movedSources = ({ forward }: Pick<CutoverWork, 'forward'>): string[] =>
  forward.slice.tables.filter(({ reference }) => !reference).map(({ source }) => source);

/**
 * Ends a slice's move: the service keeps its tables for itself, and those of the monolith are kept under other names,
 * with nothing of the pipe on them, until somebody drops them. Tables that stay the monolith's are copied on. Interrupted, it is run again; `revive` undoes it.
 * @throws GateShut, StageRefused, TableBusyError
 */
export async function complete(
  work: CutoverWork,
  from: FlagDocument,
  { force, settleMs }: CompleteOptions,
): Promise<FlagDocument> {
  const { forward, signal } = work;
  const slice = forward.sliceName;
  let document = from;
  if (from.stage !== 'complete') {
    const past = await passCompleteGates(work, force);
    if (signal.aborted) throw new StageInterrupted(`${slice}: stopped before the stage was changed`);
    document = await toComplete(work, from, past);
    // Whoever joins these tables asks the service from now on; what is under way may end.
    await pause(settleMs, signal);
  }
  await takeAway(work);
  return document;
}

async function passCompleteGates(work: CutoverWork, force: boolean): Promise<string[]> {
  const back = onPipe(work, work.reverse);
  const tables = await work.reverse.tables();
  const figures = await measureSettledPipe(back, tables);
  const others = judgeFlow(figures, work.bounds).filter(({ gate }) => gate !== 'verify');
  const verified = standingGates(others, force).length > 0 ? null : await verifyAll(back, tables);
  const verdicts = [
    ...judgeFlow({ ...(await measureSettledPipe(back, tables)), verified }, work.bounds),
    judgeCopies(work.forward.sliceName, await readCopiers(work)),
  ];
  passGates(back, 'complete', verdicts, force);
  return forcedPast(verdicts);
}

/** Every table of this slice that another slice copies. */
async function readCopiers(work: CutoverWork): Promise<Copier[]> {
  const { sliceName } = work.forward;
  const moved = new Set(movedSources(work).map((name) => name.toLowerCase()));
  const copiers: Copier[] = [];
  for (const { slice, tables } of work.others ?? []) {
    const copied = tables.filter(({ source }) => slice !== sliceName && moved.has(source.toLowerCase()));
    if (copied.length === 0) continue;
    const stage = (await work.store.get(slice))?.document.stage ?? null;
    for (const { source, until } of copied) copiers.push({ slice, table: source, stage, ends: until === sliceName });
  }
  return copiers;
}

async function toComplete(work: CutoverWork, from: FlagDocument, past: readonly string[]): Promise<FlagDocument> {
  const { store, author, tell, forward } = work;
  const slice = forward.sliceName;
  const reason = past.length === 0 ? author.reason : `${author.reason} [forced past ${past.join(', ')}]`.trim();
  const document = await changeFlag(
    store,
    slice,
    (now) => {
      if (now.stage === 'writes' && now.writes.owner === 'service' && now.epoch === from.epoch) {
        return { ...now, stage: 'complete' };
      }
      throw new StageRefused(
        `${slice}: expected it at writes with the service as owner still, found ${now.change.by} has taken it to ${now.stage} with writes on ${now.writes.owner}; look with "strangler status ${slice}"`,
      );
    },
    { by: author.by, reason: reason.slice(0, 1000) },
  );
  tell({ kind: 'stage', document });
  return document;
}

/** Everything of the pipes but the outboxes and what they know of versions: ids and epochs must go on where they are. */
async function takeAway(work: CutoverWork): Promise<void> {
  const { forward, reverse, rabbit, exchange, signal, tell } = work;
  const slice = forward.sliceName;
  const monolith = await nameOf(forward.source.write);
  const service = await nameOf(reverse.source.write);
  const retired = await retireTables(
    forward.source.write,
    { slice, database: monolith, tables: movedSources(work) },
    { signal },
  );
  for (const { table, name } of retired.droppedKeys) {
    tell({ kind: 'step', where: 'source', what: `the foreign key ${name} of ${table} is dropped` });
  }
  for (const { table, to } of retired.renamed) {
    tell({ kind: 'step', where: 'source', what: `${table} is kept as ${to}` });
  }
  const copied = referencePart(forward.slice)?.tables.map(({ source }) => source) ?? [];
  // Whoever put these away may take that back, and then they are copied as before.
  const dormant = forward.ended.map(({ source }) => retiredName(source));
  const keep = [...copied, ...dormant];
  for (const { pipe, where, database } of [
    { pipe: forward, where: 'source', database: monolith },
    { pipe: reverse, where: 'target', database: service },
  ] as const) {
    const captured = { slice: pipe.slice.slice, database };
    const isKept = pipe === forward && keep.length > 0;
    const gone = isKept
      ? await narrowCapture(pipe.source.write, { ...captured, keep }, { signal })
      : await removeCapture(pipe.source.write, captured, { signal });
    for (const { table } of gone) tell({ kind: 'step', where, what: `${table} is captured no more` });
    if (isKept) {
      const what = `${copied.join(', ')}: still captured, and copied for the service to read`;
      if (copied.length > 0) tell({ kind: 'step', where, what });
      continue;
    }
    await deleteConsumer(rabbit, exchange, applyConsumer(pipe.slice));
    tell({ kind: 'step', where: 'broker', what: `the queues of ${pipe.slice.slice}'s applier are deleted` });
  }
  for (const [side, where, database] of [
    ['monolith', 'source', monolith],
    ['service', 'target', service],
  ] as const) {
    for (const { table } of await removeFence(fencePool(work, side), { slice, database }, { signal })) {
      tell({ kind: 'step', where, what: `${table} is fenced no more` });
    }
  }
}

export const nameOf = async (db: Queryable): Promise<string> => {
  const [row] = await rowsOf<{ name: string }>(db, 'SELECT DATABASE() AS name');
  return row?.name ?? '';
};
