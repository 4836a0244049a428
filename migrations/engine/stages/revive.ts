import { hostname } from 'node:os';
import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import { type CutoverWork, fencePool, movingTables } from '../cutover/cutover-work.ts';
import { planFence } from '../fence/fence-plan.ts';
import { installFence } from '../fence/install-fence.ts';
import { isCanary } from '../pipe/canary.ts';
import { touchRows } from '../repair/touch.ts';
import { verifyTable } from '../verify/verify.ts';
import { recordVerification } from '../verify/verify-record.ts';
import { movedSources, nameOf, onPipe } from './complete.ts';
import { enterSync } from './enter-sync.ts';
import { waitForLag } from './measure.ts';
import { reviveTables } from './retire-tables.ts';
import { StageInterrupted, StageRefused } from './stage-work.ts';

/** How often rows that differ are touched before it is given up: writers go on meanwhile. */
const mostRounds = 8;
const touchedAtOnce = 200;

/**
 * Undoes `complete`: gives the monolith's tables their names and foreign keys back, fences them, and brings them into
 * step with the service's, which has written meanwhile; then the slice is at `writes` again. Interrupted, it is run again.
 * @throws NothingRetired where a kept table is gone, StageRefused where the rows do not come to be equal
 */
export async function revive(work: CutoverWork, from: FlagDocument): Promise<FlagDocument> {
  const { forward, reverse, signal, tell } = work;
  const slice = forward.sliceName;
  const database = await nameOf(forward.source.write);
  const revived = await reviveTables(forward.source.write, { slice, database, tables: movedSources(work) }, { signal });
  for (const { table, to } of revived.renamed) tell({ kind: 'step', where: 'source', what: `${table} is ${to} again` });
  for (const { table, name } of revived.droppedKeys) {
    tell({ kind: 'step', where: 'source', what: `${table} has its foreign key ${name} again` });
  }

  const moving = movingTables(work, 'monolith', await forward.tables());
  const sides = [
    { side: 'monolith', state: 'closed', tables: moving.map(({ source }) => source) },
    { side: 'service', state: 'open', tables: moving.map(({ target }) => target) },
  ] as const;
  for (const { side, state, tables } of sides) {
    await installFence(
      fencePool(work, side),
      {
        slice,
        database: tables[0]?.database ?? '',
        initially: { state, epoch: from.epoch, owner: 'service' },
        plans: tables.map((table) => planFence({ slice, table })),
      },
      { signal },
    );
  }
  tell({ kind: 'step', where: 'source', what: 'the fences of both sides stand: the service owns these tables' });
  await enterSync(onPipe(work, forward), await forward.captured(), from);
  await enterSync(onPipe(work, reverse), await reverse.captured(), from);
  if (signal.aborted) throw interrupted(slice);

  await bringIntoStep(
    work,
    (await reverse.tables()).filter((table) => !isCanary(table)),
  );
  const document = await changeFlag(
    work.store,
    slice,
    (now) => {
      if (now.stage === 'complete') return { ...now, stage: 'writes' };
      throw new StageRefused(
        `${slice}: expected it at complete still, found ${now.change.by} has taken it to ${now.stage}`,
      );
    },
    work.author,
  );
  tell({ kind: 'stage', document });
  return document;
}

/** Compares, and touches on the service's side what differs, until nothing does. */
async function bringIntoStep(work: CutoverWork, tables: readonly MappedTable[]): Promise<void> {
  const { reverse, signal, tell, author } = work;
  const writer = { user: `${author.by}@${hostname()}`, request: author.reason || 'undo of complete' };
  for (let round = 1; ; round += 1) {
    let different = 0;
    for (const table of tables) {
      const startedAt = new Date();
      const keys: KeyPlace[] = [];
      const sides = { source: reverse.source.read, target: reverse.target.read };
      for await (const event of verifyTable({ table, ...sides, maxDifferences: Number.MAX_SAFE_INTEGER, signal })) {
        tell({ kind: 'verify', event });
        if (event.kind === 'difference') {
          keys.push(table.mapping.key.map((name) => event.difference.key[name] as string));
        } else if (event.kind === 'done') {
          const { rowsCompared, differences, unsettled, complete } = event;
          const result = { table: event.table, rowsCompared, differences, unsettled, complete };
          await recordVerification(reverse.target.apply, { ...result, startedAt, finishedAt: new Date() });
        }
      }
      if (signal.aborted) throw interrupted(reverse.sliceName);
      different += keys.length;
      for (let at = 0; at < keys.length; at += touchedAtOnce) {
        await touchRows({ table, source: reverse.source.write, keys: keys.slice(at, at + touchedAtOnce), writer });
      }
      if (keys.length > 0) {
        tell({ kind: 'step', where: 'target', what: `${keys.length} rows of ${table.mapping.source} are sent back` });
      }
    }
    if (different === 0) return;
    if (round >= mostRounds) {
      throw new StageRefused(
        `${reverse.sliceName}: expected both sides equal after ${mostRounds} rounds, found ${different} rows that differ; ` +
          `see that the relay of the service's database and an applier run, then run this again`,
      );
    }
    await waitForLag(onPipe(work, reverse));
    await pause(200, signal);
  }
}

const interrupted = (slice: string): StageInterrupted =>
  new StageInterrupted(`${slice}: stopped; "strangler rollback ${slice}" goes on there`);
