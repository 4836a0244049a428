import type { FlagDocument, Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { outboxInstaller, outboxStatements } from '@strangler/platform/outbox/schema.ts';
import { declarations } from '@strangler/platform/outbox/topology.ts';
import { targetTablesStatements } from '../apply/own-tables.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { readCaptureTriggers } from '../capture/drift.ts';
import { readFenceTriggers } from '../fence/drift.ts';
import { pipeTopology } from '../pipe/apply-consumer.ts';
import { reverseSlice, reverseTables } from '../pipe/reverse-tables.ts';
import type { Finding } from '../preflight/finding.ts';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { nextStage } from './advance.ts';
import { nameOf } from './complete.ts';
import { capturePlans } from './measure.ts';
import { retiredName } from './retired-name.ts';
import { previousStage } from './rollback.ts';
import type { StageWork, StepPlace } from './stage-work.ts';

/** One thing that a stage change does, in the order in which it does it. */
export type PlannedStep = {
  where: StepPlace;
  what: string;
  /** The statements, where it is done by statements. */
  statements: string[];
};

export type Plan = {
  slice: string;
  from: Stage;
  to: Stage;
  steps: PlannedStep[];
  /** What does not stand in the way, and whoever does it should know. */
  warnings: readonly Finding[];
};

/** What `advance` does next, statement by statement. Does none of it. */
export async function planAdvance(
  work: Pick<StageWork, 'databases' | 'exchange'>,
  { stage }: Pick<FlagDocument, 'stage'>,
): Promise<Plan> {
  const { databases } = work;
  const { slice } = databases.slice;
  const to = nextStage(stage, slice);
  const tables = await databases.tables();
  const moved = databases.slice.tables.filter(({ reference }) => !reference);
  if (to === 'complete')
    return {
      slice,
      from: stage,
      to,
      steps: completeSteps(
        moved,
        databases.slice.tables.filter(({ reference }) => reference),
        databases.ended,
      ),
      warnings: [],
    };
  const wayBack = waysBack(databases.slice.tables, slice, tables);
  if (to === 'writes') return { slice, from: stage, to, steps: cutoverSteps('monolith', 'service'), warnings: wayBack };
  if (to !== 'sync') {
    const steps = [...compareSteps(tables), ...readSteps(to, databases.slice.gates.canary.steps)];
    return { slice, from: stage, to, steps, warnings: [] };
  }
  const { findings } = await databases.preflight();
  const warnings = [...findings.filter(({ level }) => level === 'warn'), ...wayBack];
  return { slice, from: stage, to, steps: await syncSteps(work, tables), warnings };
}

async function syncSteps(
  { databases, exchange }: Pick<StageWork, 'databases' | 'exchange'>,
  tables: readonly MappedTable[],
): Promise<PlannedStep[]> {
  const { slice, source } = databases;
  const steps: PlannedStep[] = [
    { where: 'target', what: "make the pipe's own tables", statements: targetTablesStatements() },
    {
      where: 'broker',
      what: `declare the exchange ${exchange}, its stream and the queues of ${slice.slice}'s applier`,
      statements: declarations(pipeTopology(slice, exchange)).map((one) =>
        one.kind === 'binding'
          ? `bind ${one.destination} to ${one.source}${one.pattern === '' ? '' : ` with ${one.pattern}`}`
          : `declare ${one.kind} ${one.name}`,
      ),
    },
  ];
  if ((await outboxInstaller(source.read)) === undefined) {
    const statements = outboxStatements({ installedBy: 'strangler' });
    steps.push({ where: 'source', what: 'install the outbox', statements });
  }
  for (const { source: table, triggers } of capturePlans(slice.slice, tables)) {
    steps.push({
      where: 'source',
      what: `capture ${table.name}; its writers wait for each of the statements, for a second at most at a time`,
      statements: triggers.map(({ createSql }) => createSql),
    });
  }
  steps.push({ where: 'flags', what: `set the stage of ${slice.slice} to sync`, statements: [] });
  for (const { mapping, source: table } of tables) {
    steps.push({
      where: 'target',
      what: `copy about ${table.rowsEstimate} rows of ${mapping.source} to ${mapping.target}, in chunks, where no newer version is`,
      statements: [],
    });
  }
  return steps;
}

const compareSteps = (tables: readonly MappedTable[]): PlannedStep[] =>
  tables.map(({ mapping }) => ({
    where: 'target',
    what: `compare every row of ${mapping.source} with ${mapping.target}; reads only`,
    statements: [],
  }));

/** What will not come back to the monolith of the tables that move, once the service writes them. */
const waysBack = (
  written: readonly Pick<Slice['tables'][number], 'source' | 'reference'>[],
  slice: string,
  tables: readonly MappedTable[],
): Finding[] => {
  const moving = new Set(written.filter(({ reference }) => !reference).map(({ source }) => source));
  const moved = tables.filter(({ mapping }) => moving.has(mapping.source));
  return reverseTables(slice, moved).findings.filter(({ level }) => level === 'warn');
};

const flagStep = (what: string): PlannedStep => ({ where: 'flags', what, statements: [] });

const readSteps = (to: 'shadow' | 'canary' | 'reads', steps: readonly number[]): PlannedStep[] => {
  if (to === 'shadow') return [flagStep('set the stage to shadow')];
  if (to === 'reads') return [flagStep('set the stage to reads, its reads to 100 % on the service')];
  const [first, ...others] = steps;
  return [
    flagStep(`set the stage to canary, its reads to ${first} % on the service`),
    flagStep(
      `from then on the proxies step up by themselves (${others.map((percent) => `${percent} %`).join(', ')}), and back when a bound breaks`,
    ),
  ];
};

const reviveSteps = (moved: readonly { source: string }[]): PlannedStep[] => [
  ...moved.map(
    ({ source }): PlannedStep => ({
      where: 'source',
      what: `give ${source} its name back, and its foreign keys`,
      statements: [`RENAME TABLE ${quoteName(retiredName(source))} TO ${quoteName(source)}`],
    }),
  ),
  { where: 'source', what: 'fence these tables, capture them again', statements: [] },
  { where: 'target', what: 'capture what the service writes, and touch every row that differs', statements: [] },
  flagStep('set the stage to writes'),
];

/** In the words of the owner's side and of the other. */
const cutoverSteps = (from: 'monolith' | 'service', to: 'monolith' | 'service'): PlannedStep[] => {
  const [old, next]: [StepPlace, StepPlace] = from === 'monolith' ? ['source', 'target'] : ['target', 'source'];
  const step = (where: StepPlace, what: string): PlannedStep => ({ where, what, statements: [] });
  return [
    step(
      next,
      `install what flows back from the ${to} to the ${from}: capture, queues, and fences on both sides; clients notice nothing`,
    ),
    step(next, `raise AUTO_INCREMENT of the ${to}'s tables above the ${from}'s`),
    step(next, 'send a row round the way back, and see it arrive'),
    step(old, 'see that no transaction stays open that has written these tables'),
    step('flags', 'hold: every proxy keeps new writes waiting, and says when its own are done'),
    step(old, `fence: the ${from}'s tables refuse every write from now on, whoever it comes from`),
    step(next, 'drain: every change that was captured has arrived'),
    step(
      'flags',
      `commit: the ${to} owns the writes, under a new epoch; until here every fault leads back, from here on forward`,
    ),
    step(next, `release: the fence of the ${to}'s tables opens, and the writes that waited are sent`),
  ];
};

const completeSteps = (
  moved: readonly { source: string }[],
  references: readonly { source: string }[],
  /** Those whose copying has ended. */
  dormant: readonly { source: string }[],
): PlannedStep[] => [
  flagStep('set the stage to complete: the monolith asks the service also where it has joined these tables'),
  {
    where: 'source',
    what: 'stop capturing, drop the fence, drop foreign keys into these tables and out of them',
    statements: [],
  },
  ...references.map(
    ({ source }): PlannedStep => ({
      where: 'source',
      what: `go on capturing ${source}, which stays the monolith's and is copied for the service to read`,
      statements: [],
    }),
  ),
  ...moved.map(
    ({ source }): PlannedStep => ({
      where: 'source',
      what: `rename ${source}, and keep it until somebody drops it by hand`,
      statements: [`RENAME TABLE ${quoteName(source)} TO ${quoteName(retiredName(source))}`],
    }),
  ),
  { where: 'target', what: 'stop capturing, drop the fence', statements: [] },
  {
    where: 'broker',
    what:
      references.length + dormant.length > 0
        ? 'delete the queues of the way back'
        : 'delete the queues of both directions',
    statements: [],
  },
];

/** What a cut-over has left, or one that was only prepared: fences on both sides and the way back. */
async function leftByCutOver({ slice, source, target }: StageWork['databases']): Promise<PlannedStep[]> {
  const steps: PlannedStep[] = [];
  const back = reverseSlice(slice);
  for (const [where, db] of [['source', source.read] as const, ['target', target.read] as const]) {
    const name = await nameOf(db);
    const drop = (trigger: string) => `DROP TRIGGER IF EXISTS ${quoteTable({ database: name, name: trigger })}`;
    for (const trigger of await readFenceTriggers(db, name, slice.slice)) {
      steps.push({ where, what: `take the fence off ${trigger.table}`, statements: [drop(trigger.name)] });
    }
    if (where === 'source') continue;
    const captured = await readCaptureTriggers(db, name, back.slice);
    for (const trigger of captured) {
      steps.push({ where, what: `stop capturing ${trigger.table}`, statements: [drop(trigger.name)] });
    }
    if (captured.length > 0) {
      const what = `delete the queues of ${back.slice}'s applier, dead letters included`;
      steps.push({ where: 'broker', what, statements: [] });
    }
  }
  return steps;
}

/** What `rollback` does next. Does none of it. */
export async function planRollback(
  { databases }: Pick<StageWork, 'databases'>,
  { stage }: Pick<FlagDocument, 'stage'>,
): Promise<Plan> {
  const { slice, source } = databases;
  const to = previousStage(stage);
  const plan = (planned: PlannedStep[]): Plan => ({
    slice: slice.slice,
    from: stage,
    to,
    steps: planned,
    warnings: [],
  });
  if (stage === 'complete') return plan(reviveSteps(slice.tables.filter(({ reference }) => !reference)));
  if (stage === 'writes') return plan(cutoverSteps('service', 'monolith'));
  if (stage === 'reads') {
    const below = slice.gates.canary.steps.filter((percent) => percent < 100).at(-1) ?? 0;
    return plan([
      flagStep(`set the stage to canary, its reads to ${below} % on the service; the canary goes on from there`),
    ]);
  }
  const steps: PlannedStep[] = [
    {
      where: 'flags',
      what: `set the stage of ${slice.slice} to ${to}, its reads to 0 % on the service`,
      statements: [],
    },
  ];
  if (to === 'sync' || to === 'shadow') return plan(steps);
  const name = await nameOf(source.read);
  for (const trigger of await readCaptureTriggers(source.read, name, slice.slice)) {
    steps.push({
      where: 'source',
      what: `stop capturing ${trigger.table}`,
      statements: [`DROP TRIGGER IF EXISTS ${quoteTable({ database: name, name: trigger.name })}`],
    });
  }
  steps.push({
    where: 'broker',
    what: `delete the queues of ${slice.slice}'s applier, dead letters included`,
    statements: [],
  });
  steps.push(...(await leftByCutOver(databases)));
  for (const { target } of slice.tables) {
    steps.push({ where: 'target', what: `empty ${target}`, statements: [`TRUNCATE TABLE ${quoteName(target)}`] });
  }
  steps.push({ where: 'target', what: "drop the pipe's own tables, if no other slice uses them", statements: [] });
  if ((await outboxInstaller(source.read)) === 'strangler') {
    steps.push({ where: 'source', what: 'drop the outbox, if no other slice is captured', statements: [] });
  }
  return plan(steps);
}
