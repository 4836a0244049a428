import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { editFlag, type FlagEdit, requireDataInStep } from '@strangler/platform/flags/edit-flag.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Command } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';
import { describeFlag, parseCondition, parsePercent } from './flag-edit.ts';
import { formatTable } from './table.ts';
import { authorOf, openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type SetOptions = StoreOptions & {
  slices?: string;
  reads?: string;
  shadow?: string;
  addCohort?: string;
  when?: string;
  side?: string;
  removeCohort?: string;
  force?: boolean;
  reason?: string;
  by?: string;
  json?: boolean;
};

/** `strangler flag set | show | history`. */
export const addFlagCommands = (program: Command, terminal: Terminal): void => {
  const flag = program.command('flag').description('see and change who serves a slice');

  withStoreOption(flag.command('set <slice>'))
    .description('change who serves the reads of a slice; every proxy obeys within milliseconds')
    .option('--reads <percent>', 'share of users whose reads the service answers, 0 to 100, two decimals at most')
    .option(
      '--shadow <percent>',
      'how much of what the slice file has compared is compared: 100 all of it, 0 nothing at once',
    )
    .option('--add-cohort <name>', 'users who are decided before the percentage; with --when and --side')
    .option('--when <condition>', 'header:NAME=VALUE, cookie:NAME=VALUE or users:A,B,C')
    .option('--side <side>', 'monolith or service')
    .option('--remove-cohort <name>', 'take a cohort away')
    .option('--force', 'send reads to a service whose data was not proven to be in step; needs --reason')
    .option('--reason <text>', 'why, for the history', '')
    .option('--by <name>', 'who (default: $STRANGLER_USER, then user@host)')
    .option(
      '--slices <folder>',
      'folder of slice files, to catch a misspelt name, and reads of data that is not in step (default: $STRANGLER_SLICES)',
    )
    .option('--json', 'print the new document as JSON')
    .action(async (slice: string, options: SetOptions) => {
      const edit = readEdit(options);
      if (options.force && !options.reason) {
        throw new CliError('--force: expected --reason with it: why may users be given old data?', exitCodes.usage);
      }
      const { store, close } = openStore(options, terminal);
      try {
        const known = await findSlice(store, slice, options.slices ?? terminal.environment.STRANGLER_SLICES);
        const before = (await store.get(slice))?.document;
        const author = { by: options.by ?? authorOf(terminal), reason: options.reason ?? '' };
        const keepsData = known !== undefined && known.tables.length > 0;
        const document = await changeFlag(
          store,
          slice,
          (current) => {
            const edited = editFlag(current, edit);
            if (keepsData && !options.force) requireDataInStep(current, edited);
            return edited;
          },
          author,
        );
        terminal.out(options.json ? JSON.stringify(document) : sayChange(before, document));
      } finally {
        close();
      }
    });

  withStoreOption(flag.command('show [slice]'))
    .description('show the flags in force, of one slice or of all')
    .option('--json', 'print documents as JSON: one, or a list')
    .action(async (slice: string | undefined, options: StoreOptions & { json?: boolean }) => {
      const { store, close } = openStore(options, terminal);
      try {
        const documents = slice === undefined ? await allDocuments(store, terminal) : [await oneDocument(store, slice)];
        if (options.json) terminal.out(JSON.stringify(slice === undefined ? documents : documents[0]));
        else terminal.out(documents.length === 0 ? `no flags in ${store.location}` : showTable(documents));
      } finally {
        close();
      }
    });

  withStoreOption(flag.command('history <slice>'))
    .description('show who changed the flags of a slice, when and why, newest first')
    .option('--limit <count>', 'how many changes', '20')
    .option('--json', 'print the documents as a JSON list')
    .action(async (slice: string, options: StoreOptions & { limit: string; json?: boolean }) => {
      const limit = Number(options.limit);
      if (!Number.isInteger(limit) || limit < 1) {
        throw new CliError(`--limit: expected a whole number from 1 on, found "${options.limit}"`, exitCodes.usage);
      }
      const { store, close } = openStore(options, terminal);
      try {
        const documents = await store.history(slice, limit);
        if (options.json) terminal.out(JSON.stringify(documents));
        else
          terminal.out(
            documents.length === 0 ? `${slice}: no change of flags in ${store.location}` : historyTable(documents),
          );
      } finally {
        close();
      }
    });
};

const readEdit = ({ reads, shadow, addCohort, when, side, removeCohort }: SetOptions): FlagEdit => {
  const edit: FlagEdit = {};
  if (reads !== undefined) edit.readsPercent = parsePercent(reads);
  if (shadow !== undefined) edit.shadowPercent = parsePercent(shadow, '--shadow');
  if (removeCohort !== undefined) edit.removeCohort = removeCohort;
  if (addCohort !== undefined) {
    if (when === undefined || (side !== 'monolith' && side !== 'service')) {
      throw new CliError(
        '--add-cohort: expected --when <condition> and --side monolith|service with it',
        exitCodes.usage,
      );
    }
    edit.addCohort = { name: addCohort, when: parseCondition(when), side };
  } else if (when !== undefined || side !== undefined) {
    throw new CliError('--when and --side: expected --add-cohort <name> with them', exitCodes.usage);
  }
  if (Object.keys(edit).length === 0) {
    throw new CliError('nothing to change: say --reads, --shadow, --add-cohort or --remove-cohort', exitCodes.usage);
  }
  return edit;
};

/** A flag for a misspelt slice would be obeyed by nobody, and nobody would say so. Undefined: it has no slice file here. */
const findSlice = async (store: FlagStore, name: string, directory: string | undefined): Promise<Slice | undefined> => {
  if (directory === undefined) return undefined;
  // Only here are slice files read, and YAML with them.
  const { readSliceDirectory } = await import('@strangler/platform/contracts/slice-directory.ts');
  const all = await readSliceDirectory(directory);
  const slice = all.find((one) => one.slice === name);
  if (slice !== undefined || (await store.get(name)) !== undefined) return slice;
  throw new CliError(
    `expected a slice of ${directory} (${all.map((one) => one.slice).join(', ') || 'none there'}), found "${name}"`,
    exitCodes.usage,
  );
};

const allDocuments = async (store: FlagStore, { err }: Terminal): Promise<FlagDocument[]> => {
  const { flags, refused } = await store.list();
  for (const fault of refused.values()) err(`strangler: ${fault.message}`);
  return [...flags.values()].map((flag) => flag.document);
};

const oneDocument = async (store: FlagStore, slice: string): Promise<FlagDocument> => {
  const stored = await store.get(slice);
  if (stored !== undefined) return stored.document;
  const known = [...(await store.list()).flags.keys()].join(', ') || 'none';
  throw new CliError(`expected a slice with flags in ${store.location} (${known}), found "${slice}"`);
};

const sayChange = (before: FlagDocument | undefined, after: FlagDocument): string =>
  [
    `${after.slice}: ${describeFlag(after)}`,
    `was: ${before === undefined ? 'never set (everything on the monolith)' : describeFlag(before)}`,
    `by ${after.change.by} at ${after.change.at}${after.change.reason === '' ? '' : `: ${after.change.reason}`}`,
  ].join('\n');

const showTable = (documents: readonly FlagDocument[]): string =>
  formatTable(
    ['SLICE', 'STAGE', 'READS ON SERVICE', 'COHORTS', 'WRITES', 'EPOCH', 'CHANGED', 'BY'],
    documents.map(({ slice, stage, reads, writes, epoch, change }) => [
      slice,
      stage,
      `${reads.percent} %`,
      reads.cohorts.map((cohort) => `${cohort.name}→${cohort.side}`).join(' ') || '-',
      writes.owner,
      epoch,
      change.at,
      change.by,
    ]),
  );

const historyTable = (documents: readonly FlagDocument[]): string =>
  formatTable(
    ['WHEN', 'BY', 'STAGE', 'READS ON SERVICE', 'WRITES', 'EPOCH', 'REASON'],
    documents.map(({ stage, reads, writes, epoch, change }) => [
      change.at,
      change.by,
      stage,
      `${reads.percent} %`,
      writes.owner,
      epoch,
      change.reason || '-',
    ]),
  );
