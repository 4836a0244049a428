import { randomUUID } from 'node:crypto';
import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { MappedTable } from '../../apply/row-shape.ts';
import { findDrift } from '../../capture/drift.ts';
import { holderText, readPrepared } from '../../fence/fence-holders.ts';
import { planFence } from '../../fence/fence-plan.ts';
import type { FenceState } from '../../fence/fence-state.ts';
import { installFence } from '../../fence/install-fence.ts';
import { openFence } from '../../fence/move-fence.ts';
import { allottingColumns, type KeyAllotter, raiseAutoIncrement } from '../../fence/raise-auto-increment.ts';
import { installCanary, readCanary, sendCanary } from '../../pipe/canary.ts';
import type { TableSchema } from '../../schema/table-schema.ts';
import { enterSync } from '../../stages/enter-sync.ts';
import { capturePlans } from '../../stages/measure.ts';
import {
  changesText,
  highestId,
  type IdRange,
  type NewestChange,
  newestByKey,
  newestInRange,
  notApplied,
  pipeFloor,
  untilApplied,
} from '../applied.ts';
import { shutGate } from '../cutover-gates.ts';
import {
  type CutoverPipes,
  CutoverRefused,
  type CutoverVerdict,
  type CutoverWork,
  fencePool,
  msText,
} from '../cutover-work.ts';
import type { Side } from '../journal.ts';
import { readFences } from '../measure-cutover.ts';

/** Keys that the new owner leaves out above the old one's: for what that allots until its fence is closed. */
const keyMargin = 10_000n;

/** A table that allots keys on both sides. */
export type AllotterPair = { to: KeyAllotter; from: KeyAllotter };

export type PrepareOptions = {
  /** How long writers of the old owner's tables may be waited for. */
  fenceMs: number;
  /** How long the canary may take round the pipe back. */
  canaryMs: number;
  /** How long the changes of before may take to be applied. */
  patienceMs: number;
};

export type Prepared = {
  allotters: AllotterPair[];
  /** Every change of the moving tables at or below this outbox id is applied; decimal text. */
  floor: string;
  /** What the canary and the old owner's writers took. */
  detail: string;
};

/**
 * Makes everything ready that a client cannot notice: fences, the pipe back, keys, and the target as good as empty of
 * what is still to come. Killed half-way it is run again.
 * @throws CutoverRefused where something does not come to be as it must
 */
export async function prepare(
  work: CutoverWork,
  pipes: CutoverPipes,
  moving: readonly MappedTable[],
  document: FlagDocument,
  { fenceMs, canaryMs, patienceMs }: PrepareOptions,
): Promise<Prepared> {
  const { slice, from, to, pipe, back } = pipes;
  const refuse = (verdict: CutoverVerdict) => new CutoverRefused(slice, to, [verdict]);

  await fenceSide(
    work,
    slice,
    from,
    'open',
    from,
    document.epoch,
    moving.map(({ source }) => source),
  );
  await fenceSide(
    work,
    slice,
    to,
    'closed',
    from,
    document.epoch,
    moving.map(({ target }) => target),
  );
  await installPipeBack(work, pipes, document);
  const allotters = allottersOf(work, pipes, moving);
  for (const pair of allotters) {
    const raise = await raiseAutoIncrement(pair.to, pair.from, keyMargin, { signal: work.signal });
    work.tell({ kind: 'step', where: placeOf(to), what: `${raise.table} allots keys from ${raise.next} on` });
  }
  const fences = await readFences(work);
  if (fences[from]?.state !== 'open' || fences[to]?.state !== 'closed') {
    const found = `${from} ${fences[from]?.state}, ${to} ${fences[to]?.state}`;
    throw refuse(shutGate('fence', found, `${from} open, ${to} closed`, `"strangler resume ${slice}"`));
  }

  const canaryTookMs = await sendRound(back, slice, canaryMs, work.signal);
  if (canaryTookMs === null) {
    const todo = `see that a relay runs on the ${to}'s database and an applier for ${back.slice.slice}: their /health/ready say what they wait for`;
    throw refuse(
      shutGate('way-back', 'not come round', `a row round ${back.slice.slice} in ${msText(canaryMs)}`, todo),
    );
  }
  work.tell({
    kind: 'step',
    where: placeOf(from),
    what: `a row came round ${back.slice.slice} in ${msText(canaryTookMs)}`,
  });

  // The first look takes what a long history takes; the second, what was written meanwhile.
  const settle = async (
    above: string,
    changes: (range: { above: string; upTo: string }) => AsyncIterable<NewestChange[]>,
  ) => {
    const upTo = await highestId(pipe.source.read);
    const writersMs = await awaitWriters(work, pipes, document, fenceMs);
    const left: NewestChange[] = [];
    for await (const some of changes({ above, upTo })) left.push(...(await notApplied(pipe, some)));
    const late = await untilApplied(pipe, left, { withinMs: patienceMs, lookEveryMs: 25, signal: work.signal });
    if (late.length > 0) {
      const todo = `"strangler status ${slice}" says whether relay and applier run, and what is parked or dead`;
      throw refuse(shutGate('applied', changesText(late), `every change applied in ${msText(patienceMs)}`, todo));
    }
    return { upTo, writersMs };
  };
  const first = await settle(await pipeFloor(pipe), (range) => newestByKey(pipe, moving, range));
  const second = await settle(first.upTo, async function* (range: IdRange) {
    yield await newestInRange(pipe, moving, range);
  });
  return {
    allotters,
    floor: second.upTo,
    detail: `a row came round ${back.slice.slice} in ${msText(canaryTookMs)}; writers under way ended in ${msText(second.writersMs)}`,
  };
}

async function fenceSide(
  work: CutoverWork,
  slice: string,
  side: Side,
  state: FenceState,
  owner: Side,
  epoch: number,
  tables: readonly TableSchema[],
): Promise<void> {
  const installation = {
    slice,
    database: tables[0]?.database ?? '',
    initially: { state, epoch, owner },
    plans: tables.map((table) => planFence({ slice, table })),
  };
  const outcomes = await installFence(fencePool(work, side), installation, { signal: work.signal });
  for (const { table, done, lockedMs } of outcomes) {
    if (done === 'unchanged') continue;
    const what = `the fence of ${table} is ${done}; its writers waited ${lockedMs} ms at most`;
    work.tell({ kind: 'step', where: placeOf(side), what });
  }
}

/** Outbox, queues, floor and capture of the pipe back: sessions of a pipe are never captured, so nothing flows in it yet. */
async function installPipeBack(
  work: CutoverWork,
  { slice, to, back }: CutoverPipes,
  document: FlagDocument,
): Promise<void> {
  await installCanary(back.source.write);
  await installCanary(back.target.apply);
  const tables = await back.captured();
  await enterSync({ ...work, databases: back }, tables, document);
  const plans = capturePlans(back.slice.slice, tables);
  const drift = await findDrift(back.source.read, tables[0]?.source.database ?? '', back.slice.slice, plans);
  if (drift.length === 0) return;
  const found = drift.map(({ table, reason }) => `${table}: ${reason}`).join('; ');
  throw new CutoverRefused(slice, to, [
    shutGate('capture', found, `capture of ${back.slice.slice} without drift`, 'see who else makes triggers there'),
  ]);
}

const allottersOf = (work: CutoverWork, { from, to }: CutoverPipes, moving: readonly MappedTable[]): AllotterPair[] =>
  moving.flatMap(({ mapping, source, target }) => {
    const columns = allottingColumns(mapping, source, target);
    if (columns === null) return [];
    return [
      {
        to: { pool: fencePool(work, to), table: target, column: columns.target },
        from: { pool: fencePool(work, from), table: source, column: columns.source },
      },
    ];
  });

/** @returns how long a token took from one end to the other; null: it did not come in time */
async function sendRound(
  { source, target }: CutoverPipes['back'],
  slice: string,
  withinMs: number,
  signal: AbortSignal,
): Promise<number | null> {
  const token = randomUUID();
  const startedMs = performance.now();
  await sendCanary(source.write, slice, token);
  while (performance.now() - startedMs < withinMs) {
    if ((await readCanary(target.read, slice)) === token) return performance.now() - startedMs;
    if ((await pause(10, signal)) === 'aborted') return null;
  }
  return null;
}

/**
 * Waits for every transaction that has written to the moving tables by now, as the fence will: what its row's lock makes
 * wait here would make clients wait there. An outbox id that was committed before is at or above those of all that had
 * been given out to such transactions; when they have ended, all at or below it are committed or gone.
 */
async function awaitWriters(
  work: CutoverWork,
  { slice, from, to }: CutoverPipes,
  document: FlagDocument,
  waitMs: number,
): Promise<number> {
  const pool = fencePool(work, from);
  const fences = await readFences(work);
  const epoch = fences[from]?.epoch ?? document.epoch;
  const startedMs = performance.now();
  const outcome = await openFence(pool, {
    slice,
    epoch,
    owner: from,
    waitMs,
    reason: `before a cut-over to the ${to}`,
  });
  let holders = outcome.kind === 'busy' ? outcome.holders : [];
  if (outcome.kind === 'moved') {
    // MariaDB's give up their locks when they are prepared.
    const prepared = await readPrepared(pool);
    const names = new Set(prepared?.map(({ name }) => name));
    let left = prepared ?? [];
    while (left.length > 0 && performance.now() - startedMs < waitMs) {
      await pause(20);
      left = ((await readPrepared(pool)) ?? []).filter(({ name }) => names.has(name));
    }
    holders = left;
    if (left.length === 0) return performance.now() - startedMs;
  }
  const who = holders === null ? 'somebody that this account may not see' : holders.map(holderText).join(', ');
  throw new CutoverRefused(slice, to, [
    shutGate(
      'writers',
      `${who || 'somebody who has just ended'} with an open transaction`,
      `every transaction that has written to end in ${msText(waitMs)}`,
      'wait for it to end, or end it',
    ),
  ]);
}

const placeOf = (side: Side) => (side === 'monolith' ? 'source' : 'target');
