import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Command } from 'commander';
import { withOperationLock } from '../engine/pipe/operation-lock.ts';
import { advance } from '../engine/stages/advance.ts';
import { defaultGateBounds } from '../engine/stages/gates.ts';
import { planAdvance, planRollback } from '../engine/stages/plan.ts';
import { createProgressBoard } from '../engine/stages/progress-board.ts';
import { rollback } from '../engine/stages/rollback.ts';
import type { StageEvent, StageWork } from '../engine/stages/stage-work.ts';
import { documentInForce } from './document-in-force.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import {
  type BrokerOptions,
  exchangeOf,
  type OpenPipe,
  type PipeOptions,
  withBroker,
  withBrokerOptions,
  withPipe,
  withPipeOptions,
} from './pipe-options.ts';
import { describePlan } from './plan-view.ts';
import { createStageView, type StageView } from './stage-view.ts';
import { authorOf, openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type StageOptions = StoreOptions & PipeOptions & BrokerOptions & { reason?: string; by?: string; json?: boolean };
type AdvanceOptions = StageOptions & { force?: boolean; backfill?: boolean };

/** `strangler plan | advance | rollback`. */
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

  withAuthorOptions(withBrokerOptions(withStageOptions(program.command('advance <slice>'))))
    .description('take a slice one stage on, from monolith to sync to shadow, if its gate is open')
    .option(
      '--force',
      'go past the gates that may be forced; needs --reason, which the history keeps with their figures',
    )
    .option('--no-backfill', 'install the pipe and leave the copying to "strangler backfill"')
    .option('--json', 'print each event as one line of JSON')
    .action(async (slice: string, options: AdvanceOptions) => {
      if (options.force && !options.reason) {
        throw new CliError('--force: expected --reason with it: why may the figures be passed over?', exitCodes.usage);
      }
      await withWork('advance', slice, options, terminal, async (work, document, view) => {
        const after = await advance(work, document, {
          force: options.force === true,
          skipBackfill: options.backfill === false,
        });
        view.end(sayStage(document, after));
      });
    });

  withAuthorOptions(withBrokerOptions(withStageOptions(program.command('rollback <slice>'))))
    .description('take a slice one stage back; from sync, the source is left as it was before')
    .option('--json', 'print each event as one line of JSON')
    .action(async (slice: string, options: StageOptions) => {
      await withWork('rollback', slice, options, terminal, async (work, document, view) => {
        view.end(sayStage(document, await rollback(work, document)));
      });
    });
};

const withStageOptions = (command: Command): Command => withStoreOption(withPipeOptions(command));

const withAuthorOptions = (command: Command): Command =>
  command
    .option('--reason <text>', 'why, for the history', '')
    .option('--by <name>', 'who (default: $STRANGLER_USER, then user@host)');

type Action = (work: StageWork, document: FlagDocument, view: StageView) => Promise<void>;

/** Opens all that a stage change works with, holds the slice's lock meanwhile, and closes it again. */
const withWork = async (
  what: string,
  slice: string,
  options: StageOptions,
  terminal: Terminal,
  action: Action,
): Promise<void> => {
  const view = createStageView(terminal, options.json === true);
  await withPipe(options, terminal, slice, (databases: OpenPipe) =>
    withBroker(options, terminal, async (rabbit) => {
      const { store, consul, close } = openStore(options, terminal);
      const board = consul && createProgressBoard(consul.kv, slice, terminal.log);
      try {
        await withOperationLock(databases.source.write, slice, what, async (lost) => {
          const work: StageWork = {
            databases,
            store,
            rabbit,
            exchange: exchangeOf(options, terminal),
            author: { by: options.by ?? authorOf(terminal), reason: options.reason ?? '' },
            bounds: defaultGateBounds,
            log: terminal.log,
            signal: AbortSignal.any([terminal.signal, lost]),
            tell(event: StageEvent) {
              view.show(event);
              board?.note(event);
            },
          };
          await action(work, await documentInForce(store, slice), view);
        });
      } finally {
        view.close();
        await board?.close();
        close();
      }
    }),
  );
};

const sayStage = (before: FlagDocument, after: FlagDocument): { from: string; to: string; text: string } => ({
  from: before.stage,
  to: after.stage,
  text:
    before.stage === after.stage
      ? `${after.slice}: stage ${after.stage}; nothing is left of what it had installed`
      : `${after.slice}: stage ${before.stage} → ${after.stage}`,
});
