import type { FlagDocument, Stage } from '@strangler/platform/contracts/flag-document.ts';
import { outboxInstaller, outboxStatements } from '@strangler/platform/outbox/schema.ts';
import { declarations } from '@strangler/platform/outbox/topology.ts';
import { targetTablesStatements } from '../apply/own-tables.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { readCaptureTriggers } from '../capture/drift.ts';
import { pipeTopology } from '../pipe/apply-consumer.ts';
import type { Finding } from '../preflight/finding.ts';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { nextStage } from './advance.ts';
import { capturePlans } from './measure.ts';
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
  if (to === 'shadow') return { slice, from: stage, to, steps: shadowSteps(tables), warnings: [] };
  const { findings } = await databases.preflight();
  const warnings = findings.filter(({ level }) => level === 'warn');
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
      what: `capture ${table.name}; its writers wait meanwhile, for a second at most at a time`,
      statements: [
        `LOCK TABLES ${quoteTable(table)} WRITE`,
        ...triggers.map(({ createSql }) => createSql),
        'UNLOCK TABLES',
      ],
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

const shadowSteps = (tables: readonly MappedTable[]): PlannedStep[] => [
  ...tables.map(
    ({ mapping }): PlannedStep => ({
      where: 'target',
      what: `compare every row of ${mapping.source} with ${mapping.target}; reads only`,
      statements: [],
    }),
  ),
  { where: 'flags', what: 'set the stage to shadow', statements: [] },
];

/** What `rollback` does next. Does none of it. */
export async function planRollback(
  { databases }: Pick<StageWork, 'databases'>,
  { stage }: Pick<FlagDocument, 'stage'>,
): Promise<Plan> {
  const { slice, source } = databases;
  const to = previousStage(stage, slice.slice);
  const steps: PlannedStep[] = [
    {
      where: 'flags',
      what: `set the stage of ${slice.slice} to ${to}, its reads to 0 % on the service`,
      statements: [],
    },
  ];
  if (to === 'sync') return { slice: slice.slice, from: stage, to, steps, warnings: [] };
  const [{ name } = { name: '' }] = (await source.read.query('SELECT DATABASE() AS name'))[0] as { name: string }[];
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
  for (const { target } of slice.tables) {
    steps.push({ where: 'target', what: `empty ${target}`, statements: [`TRUNCATE TABLE ${quoteName(target)}`] });
  }
  steps.push({ where: 'target', what: "drop the pipe's own tables, if no other slice uses them", statements: [] });
  if ((await outboxInstaller(source.read)) === 'strangler') {
    steps.push({ where: 'source', what: 'drop the outbox, if no other slice is captured', statements: [] });
  }
  return { slice: slice.slice, from: stage, to, steps, warnings: [] };
}
