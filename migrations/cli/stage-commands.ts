import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Command } from 'commander';
import type { CutoverDone, CutoverEvent, CutoverWork } from '../engine/cutover/cutover-work.ts';
import { resumeCutover } from '../engine/cutover/resume-cutover.ts';
import { type CutoverOptions, runCutover } from '../engine/cutover/run-cutover.ts';
import { withOperationLock } from '../engine/pipe/operation-lock.ts';
import { advance, nextStage } from '../engine/stages/advance.ts';
import { judgeIntoReads } from '../engine/stages/canary-gates.ts';
import { complete } from '../engine/stages/complete.ts';
import { defaultGateBounds, type Verdict } from '../engine/stages/gates.ts';
import { planAdvance, planRollback } from '../engine/stages/plan.ts';
import { createProgressBoard } from '../engine/stages/progress-board.ts';
import { revive } from '../engine/stages/revive.ts';
import { rollback } from '../engine/stages/rollback.ts';
import type { StageEvent, StageWork } from '../engine/stages/stage-work.ts';
import { readCanaryStanding } from './canary-standing.ts';
import { cutoverResult, describeCutover, showCutover } from './cutover-view.ts';
import { documentInForce } from './document-in-force.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs } from './option-values.ts';
import {
  type BrokerOptions,
  exchangeOf,
  openPipe,
  type PipeOptions,
  withBroker,
  withBrokerOptions,
  withPipe,
  withPipeOptions,
} from './pipe-options.ts';
import { describePlan } from './plan-view.ts';
import { forgetSliceComparison, judgeSliceComparison } from './shadow-figures.ts';
import { type RedisOptions, withRedisOption } from './shadow-options.ts';
import { readSlices } from './slice-option.ts';
import { createStageView, type StageView } from './stage-view.ts';
import { authorOf, openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type StageOptions = StoreOptions &
  PipeOptions &
  BrokerOptions &
  RedisOptions & { reason?: string; by?: string; json?: boolean };
type MoveOptions = StageOptions & { hold: string };
type AdvanceOptions = MoveOptions & { force?: boolean; backfill?: boolean; confirm?: string; settle: string };

/** `strangler plan | advance | rollback | resume`. */
export const addStageCommands = (program: Command, terminal: Terminal): void => {
  withStageOptions(program.command('plan <slice>'))
    .description('print what advance (or with --back, rollback) will do, statement by statement; does none of it')
    .option('--back', 'what rollback will do')
    .option('--json', 'print the plan as JSON')
    .action(async (slice: string, options: StageOptions & { back?: boolean }) => {
      await withPipe(options, terminal, slice, async (databases) => {
        const { store, close } = openStore(options, terminal);
        try {
          const document = await documentInForce(store, slice);
          const exchange = exchangeOf(options, terminal);
          const plan = options.back
            ? await planRollback({ databases }, document)
            : await planAdvance({ databases, exchange }, document);
          terminal.out(options.json ? JSON.stringify(plan) : describePlan(plan));
        } finally {
          close();
        }
      });
    });

  withRedisOption(withMoveOptions(withStageOptions(program.command('advance <slice>'))))
    .description(
      'take a slice one stage on if its gate is open: monolith, sync, shadow, canary, reads, writes (the cut-over), complete',
    )
    .option(
      '--force',
      'go past the gates that may be forced; needs --reason, which the history keeps with their figures',
    )
    .option('--no-backfill', 'into sync: install the pipe and leave the copying to "strangler backfill"')
    .option('--confirm <slice>', "into complete: the slice's name once more, instead of typing it when asked")
    .option('--settle <time>', 'into complete: how long the monolith has to stop reading the tables', '5s')
    .option('--json', 'print each event as one line of JSON')
    .action(async (slice: string, options: AdvanceOptions) => {
      if (options.force && !options.reason) {
        throw new CliError('--force: expected --reason with it: why may the figures be passed over?', exitCodes.usage);
      }
      const settleMs = timeSpanMs('--settle', options.settle);
      const holdMs = timeSpanMs('--hold', options.hold);
      const force = options.force === true;
      await withWork(slice, options, terminal, async ({ work, stage, document, view, locked, ...gates }) => {
        const to = nextStage(document.stage, slice);
        if (to === 'writes') return await moveWrites(work(), { to: 'service', holdMs, force }, view);
        if (to === 'complete') {
          await confirm(slice, options.confirm, terminal);
          const after = await locked('advance', () => complete(work(), document, { force, settleMs }));
          return view.end(sayStage(document, after));
        }
        const after = await locked('advance', () =>
          advance(stage, document, to, {
            force,
            skipBackfill: options.backfill === false,
            ...gates,
          }),
        );
        view.end(sayStage(document, after));
      });
    });

  withMoveOptions(withStageOptions(program.command('rollback <slice>')))
    .description(
      'take a slice one stage back, from wherever it stands; from writes by a cut-over, from sync so that the source is left as it was before',
    )
    .option('--force', 'from writes: go past the gates that may be forced; needs --reason')
    .option('--json', 'print each event as one line of JSON')
    .action(async (slice: string, options: MoveOptions & { force?: boolean }) => {
      const holdMs = timeSpanMs('--hold', options.hold);
      if (options.force && !options.reason) {
        throw new CliError('--force: expected --reason with it: why may the figures be passed over?', exitCodes.usage);
      }
      await withWork(slice, options, terminal, async ({ work, stage, document, view, locked }) => {
        if (document.stage === 'writes') {
          return await moveWrites(work(), { to: 'monolith', holdMs, force: options.force === true }, view);
        }
        const after = await locked('rollback', () =>
          document.stage === 'complete' ? revive(work(), document) : rollback(stage, document),
        );
        view.end(sayStage(document, after));
      });
    });

  withAuthorOptions(withBrokerOptions(withStageOptions(program.command('resume <slice>'))))
    .description('finish, or call off, a cut-over whose coordinator has ended half-way; what is whole is left as it is')
    .option('--json', 'print each event as one line of JSON')
    .action(async (slice: string, options: StageOptions) => {
      await withWork(slice, options, terminal, async ({ work, view }) => {
        const outcome = await resumeCutover(work());
        if (outcome.kind === 'done') return tellCutover(outcome, view);
        const { stage, writes, epoch } = outcome.document;
        const owner = writes.owner === 'held' ? `held (${writes.from} → ${writes.to})` : writes.owner;
        const text =
          outcome.kind === 'nothing'
            ? `${slice}: nothing to resume; stage ${stage}, writes ${owner}, epoch ${epoch}`
            : `${slice}: the cut-over is called off (${outcome.why}); stage ${stage}, writes ${owner}, epoch ${epoch}`;
        const told = outcome.kind === 'nothing' ? { outcome: 'nothing' } : cutoverResult(outcome);
        view.end({ ...told, from: stage, to: stage, text });
      });
    });
};

const withStageOptions = (command: Command): Command => withStoreOption(withPipeOptions(command));

const withAuthorOptions = (command: Command): Command =>
  command
    .option('--reason <text>', 'why, for the history', '')
    .option('--by <name>', 'who (default: $STRANGLER_USER, then user@host)');

const withMoveOptions = (command: Command): Command =>
  withAuthorOptions(withBrokerOptions(command)).option(
    '--hold <time>',
    'when writes move: how long proxies may take to have none of the slice under way',
    '5s',
  );

/** What a change of a slice is done with. */
type Change = {
  /** Of the pipe that flows from the monolith to the service. */
  stage: StageWork;
  /** Of both directions. @throws CliError where the flags are in a file */
  work(): CutoverWork;
  document: FlagDocument;
  view: StageView;
  /** The gate into `reads`. */
  judgeCanary(): Promise<Verdict[]>;
  /** The gate into `canary`, as far as answers are compared. */
  judgeComparison(): Promise<Verdict[]>;
  forgetComparison(): Promise<Verdict[]>;
  /** Runs while nobody else works on the slice. */
  locked<T>(what: string, run: () => Promise<T>): Promise<T>;
};

/** Opens all that a stage change works with, and closes it again. */
const withWork = async (
  slice: string,
  options: StageOptions,
  terminal: Terminal,
  action: (change: Change) => Promise<void>,
): Promise<void> => {
  const view = createStageView(terminal, options.json === true);
  await withPipe(options, terminal, slice, (forward) =>
    withBroker(options, terminal, async (rabbit) => {
      const reverse = await openPipe(options, terminal, slice, 'reverse');
      const { store, consul, root, close } = openStore(options, terminal);
      const board = consul && createProgressBoard(consul.kv, slice, terminal.log);
      const lost = new AbortController();
      const tell = (event: CutoverEvent): void => {
        showCutover(view, event);
        if (event.kind !== 'cutover' && event.kind !== 'gates of the cut-over') board?.note(event);
      };
      const shared = {
        store,
        rabbit,
        exchange: exchangeOf(options, terminal),
        author: { by: options.by ?? authorOf(terminal), reason: options.reason ?? '' },
        bounds: defaultGateBounds,
        log: terminal.log,
        signal: AbortSignal.any([terminal.signal, lost.signal]),
      };
      try {
        const document = await documentInForce(store, slice);
        const others = await readSlices(options, terminal);
        await action({
          stage: { ...shared, databases: forward, tell: tell as (event: StageEvent) => void },
          work() {
            if (consul !== null && root !== null) {
              return { ...shared, forward, reverse, others, consul: { client: consul, root }, tell };
            }
            throw new CliError(
              `${slice}: expected flags in Consul, by which proxies say that they hold, found them in a file; name it with --flags consul://host:port`,
              exitCodes.usage,
            );
          },
          document,
          view,
          async judgeCanary() {
            const standing = consul === null ? null : await readCanaryStanding(consul.kv, root ?? '', slice);
            return judgeIntoReads({ document, standing, nowMs: Date.now() });
          },
          judgeComparison: () => judgeSliceComparison(forward.slice, forward.folder, options, terminal),
          forgetComparison: () => forgetSliceComparison(forward.slice, options, terminal),
          locked: (what, run) =>
            withOperationLock(forward.source.write, slice, what, async (signal) => {
              const end = () => lost.abort();
              signal.addEventListener('abort', end, { once: true });
              return await run();
            }),
        });
      } finally {
        view.close();
        await board?.close();
        close();
        await reverse.close();
      }
    }),
  );
};

const moveWrites = async (work: CutoverWork, options: CutoverOptions, view: StageView): Promise<void> =>
  tellCutover(await runCutover(work, options), view);

const tellCutover = (done: CutoverDone, view: StageView): void => {
  const { from, to } = done.journal;
  view.end({ ...cutoverResult(done), from, to, text: describeCutover(done) });
};

/** @throws CliError where the name is not the slice's */
const confirm = async (slice: string, given: string | undefined, { ask }: Terminal): Promise<void> => {
  const typed =
    given ??
    (await ask?.(
      `The monolith's tables of ${slice} are renamed, and nothing keeps them in step any more.\nType the slice's name to go on: `,
    ));
  if (typed === slice) return;
  const found = typed === undefined ? 'nobody to ask: give it with --confirm' : `"${typed}"`;
  throw new CliError(`expected the slice's name, ${slice}, found ${found}; nothing was changed`, exitCodes.usage);
};

const sayStage = (before: FlagDocument, after: FlagDocument): { from: string; to: string; text: string } => ({
  from: before.stage,
  to: after.stage,
  text:
    before.stage === after.stage
      ? `${after.slice}: stage ${after.stage}; nothing is left of what it had installed`
      : `${after.slice}: stage ${before.stage} → ${after.stage}`,
});
