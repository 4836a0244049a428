import { pause } from '@strangler/platform/backoff.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';
import { operatorEnvironment } from '@strangler/stack/system/system.ts';
import type { Pool } from 'mysql2/promise';
import type { Dispatcher } from 'undici';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createTally, spread, type Tally } from '../../traffic/tally.ts';
import { visitorConnections } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { type Announcements, listenToAppliers } from '../pipe/announcements.ts';
import { capturedIds, sourceRows, unpublishedCount } from '../pipe/captured.ts';
import { type Kill, planKills } from '../pipe/kills.ts';
import { watchPrice } from '../pipe/watched-price.ts';
import type { Progress } from '../progress.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { openShop, type Shop } from '../shop.ts';
import { inviteShoppers, inviteWriters, logInAdmin } from '../shoppers.ts';
import { runOnceOpen, runStrangler } from '../strangler.ts';

export type PipeOptions = ScenarioOptions;

export type PipeReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number; reads: number; writes: number };
  killed: Kill[];
  /** Of the last comparison, with the pipe empty; `different` also of the one before, under traffic. */
  rows: { compared: number; different: number };
  events: { captured: number; applied: number; duplicates: number; deadLettered: number };
  /** From the writer's statement until a change is applied: of changes made since all were back that were killed. */
  lagMs: { p50: number; p99: number };
  /** The same, of all changes. */
  lagWithKillsMs: { p50: number; p99: number };
  /** From the answer to an admin who changes a price until an instance of the service serves it. */
  servedMs: { p50: number; p99: number };
  backfill: { rows: number; rowsPerSecond: number };
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'catalog';
const servedBoundMs = 1_000;
const emptyWithinMs = 60_000;

/**
 * The catalogue's data goes to its service while shoppers buy, an admin changes it and customers review: it is copied, kept
 * in step and compared. On the way a relay, an applier and the broker are killed. No request may fail, no change be lost.
 */
export const runPipeScenario = async (options: PipeOptions): Promise<PipeReport> => {
  const { products, instance, keep, progress, signal } = options;
  const shop = await openShop({ instance, products, stage: 'monolith', keep, progress, signal });
  const connections = visitorConnections();
  const source = createPool(shop.system.databases.mover.shopUrl, { connectionLimit: 2 });
  const target = createPool(shop.system.databases.mover.catalogUrl, { connectionLimit: 2 });
  const announcements = await listenToAppliers(shop.system.rabbitmqUrl, slice);
  try {
    return await drive({ shop, connections, source, target, announcements }, options);
  } finally {
    await announcements.close();
    await source.end();
    await target.end();
    await connections.close();
    await shop.close();
  }
};

type Stage = { shop: Shop; connections: Dispatcher; source: Pool; target: Pool; announcements: Announcements };

const drive = async (
  { shop, connections, source, target, announcements }: Stage,
  { requestsPerSecond, secondsPerStep, progress, signal }: PipeOptions,
): Promise<PipeReport> => {
  const environment = operatorEnvironment(shop.system);
  const random = seededRandom(42);
  const shared = { random, dispatcher: connections };
  const shoppers = await inviteShoppers(shop, { accounts: 10, anonymous: 30, ...shared });
  const writers = await inviteWriters(shop, { merchants: 8, reviewers: 4, ...shared });
  const adminToken = await logInAdmin(shop, connections);
  const keeper = createTally();
  const watch = async (): Promise<void> => {
    await pause(secondsPerStep * 1000, signal);
    signal.throwIfAborted();
    const { total, failed, writes } = keeper.tally();
    progress.say(`  ${total} requests, ${writes} of them writes, ${failed} failed so far`);
  };

  progress.say(
    `${shoppers.length} shoppers and ${writers.length} who change the catalogue, ${requestsPerSecond} requests a second`,
  );
  const crowd = startCrowd({ shoppers: [...shoppers, ...writers], requestsPerSecond, onVisit: keeper.add, random });
  try {
    await watch();

    progress.say('strangler advance catalog: capture, and a copy of what was there before');
    const kills = planKills(shop, progress);
    const copy = createCopyWatch({ progress, onBegun: (what) => kills.nextProcess(what) });
    await runStrangler(['advance', slice, '--reason', 'the demo'], { environment, signal, onEvent: copy.see });
    await watch();
    const killed = await kills.rest('the applying of changes');

    progress.say('strangler advance catalog: both sides compared while traffic goes on');
    await runOnceOpen(['advance', slice, '--reason', 'the demo'], { environment, signal });
    const peaceSinceMs = Date.now();
    progress.say('the catalogue is at stage shadow');
    await watch();

    const underTraffic = await compare(environment, signal);
    progress.say(`verified under traffic: ${underTraffic.compared} rows, ${underTraffic.different} differ`);

    const servedMs = await watchPrice({ shop, adminToken, changes: 10, dispatcher: connections });
    progress.say(
      `a changed price is served by the service after ${spread(servedMs).p50} ms (median of ${servedMs.length})`,
    );

    await crowd.stop();
    const captured = await untilEmpty({ source, target, announcements }, signal);
    const missing = captured.filter((id) => !announcements.applied.has(id)).length;
    progress.say(
      `traffic stopped; the pipe is ${missing === 0 ? 'empty' : 'not empty'}: ${captured.length} changes captured, ${missing} of them not applied`,
    );

    const atRest = await compare(environment, signal);
    const rowsThere = await sourceRows(source, shop.system.slicesFolder, slice);
    progress.say(`verified at rest: ${atRest.compared} rows, ${atRest.different} differ`);
    const deadLetters = (await runStrangler(['dlq', 'list', slice], { environment, signal })) as [unknown[]];

    return report({
      tally: keeper.tally(),
      killed,
      backfill: copy.figures(),
      rows: { compared: atRest.compared, different: underTraffic.different + atRest.different },
      captured,
      announcements,
      rowsThere,
      deadLettered: deadLetters[0].length,
      peaceSinceMs,
      servedMs,
    });
  } finally {
    await crowd.stop();
  }
};

/** Waits until nothing is left to publish and appliers have told of every captured change; the ids of these. */
const untilEmpty = async (
  { source, target, announcements: { applied } }: Pick<Stage, 'source' | 'target' | 'announcements'>,
  signal: AbortSignal,
): Promise<string[]> => {
  let captured: string[] = [];
  await eventually(
    async () => {
      signal.throwIfAborted();
      captured = await capturedIds(source, target, slice);
      const unpublished = await unpublishedCount(source);
      const missing = captured.filter((id) => !applied.has(id));
      if (unpublished === 0 && missing.length === 0) return;
      throw new Error(`${unpublished} changes are not published, and ${missing.length} not applied`);
    },
    { withinMs: emptyWithinMs },
  ).catch(() => signal.throwIfAborted());
  return captured;
};

type BackfillEvent = { kind: string; table: string; rowsRead: number };
type CommandEvent = { kind: string; event?: BackfillEvent };

/** Follows the copy as `advance` tells of it. */
const createCopyWatch = ({ progress, onBegun }: { progress: Progress; onBegun: (what: string) => void }) => {
  let begunAt = 0;
  let endedAt = 0;
  let rows = 0;
  return {
    see(event: unknown): void {
      const { kind, event: told } = event as CommandEvent;
      if (kind !== 'backfill' || told === undefined) return;
      if (begunAt === 0) begunAt = performance.now();
      if (told.kind === 'begun') onBegun(`the copy of ${told.table}`);
      if (told.kind !== 'done') return;
      endedAt = performance.now();
      rows += told.rowsRead;
      progress.say(`  ${told.table}: ${told.rowsRead} rows copied`);
    },
    figures: () => ({ rows, rowsPerSecond: Math.round(rows / Math.max(0.001, (endedAt - begunAt) / 1000)) }),
  };
};

type Compared = { tables: { rowsCompared: number; differences: number; unsettled: number }[] };

/** Compares all tables; a row that did not settle counts as one that differs. */
const compare = async (
  environment: OperatorEnvironment,
  signal: AbortSignal,
): Promise<{ compared: number; different: number }> => {
  // 1: there are differences, which the summary counts.
  const events = await runStrangler(['verify', slice], { environment, signal, alsoFine: [1] });
  const { tables } = events.findLast((event) => (event as { kind: string }).kind === 'summary') as Compared;
  const sum = (of: (table: Compared['tables'][number]) => number) =>
    tables.reduce((total, table) => total + of(table), 0);
  return {
    compared: sum(({ rowsCompared }) => rowsCompared),
    different: sum(({ differences, unsettled }) => differences + unsettled),
  };
};

type Measured = Pick<PipeReport, 'killed' | 'backfill' | 'rows'> & {
  tally: Tally;
  captured: readonly string[];
  announcements: Announcements;
  deadLettered: number;
  rowsThere: number;
  peaceSinceMs: number;
  servedMs: readonly number[];
};

const report = (measured: Measured): PipeReport => {
  const { tally, killed, backfill, rows, captured, announcements, deadLettered, peaceSinceMs } = measured;
  const changes = [...announcements.applied.values()];
  const lag = (since: number) =>
    spread(changes.filter(({ atMs }) => atMs >= since).map(({ atMs, appliedAtMs }) => Math.max(0, appliedAtMs - atMs)));
  const applied = captured.filter((id) => announcements.applied.has(id)).length;
  const servedMs = spread(measured.servedMs);
  const bounds = [
    atMost('failed requests', tally.failed, 0),
    atMost('rows that differ', rows.different, 0),
    atMost('dead letters', deadLettered, 0),
    atMost('captured changes that were not applied', captured.length - applied, 0),
    atLeast('captured changes', captured.length, 1),
    atLeast('rows compared, at rest', rows.compared, Math.max(1, measured.rowsThere)),
    atLeast('killed and back: a relay, an applier, the broker', killed.length, 3),
    atMost('a changed price is served by the service, median ms', servedMs.p50, servedBoundMs),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total: tally.total, failed: tally.failed, reads: tally.reads, writes: tally.writes },
    killed,
    rows,
    events: { captured: captured.length, applied, duplicates: announcements.duplicates(), deadLettered },
    lagMs: lag(peaceSinceMs),
    lagWithKillsMs: lag(0),
    servedMs,
    backfill,
    latencyMs: spread(tally.durationsMs),
    failures: tally.failures.map(({ action, failure }) => ({ action, failure })),
  };
};
