import type { ShadowExample, ShadowGroup } from '@strangler/platform/shadow-report/entry.ts';
import type { Command } from 'commander';
import { coverageOf, wantedCells } from '../shadow/wanted-cells.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { addShadowAskCommands } from './shadow-ask-commands.ts';
import { type Answering, type RedisOptions, readOperations, withRedisOption, withReport } from './shadow-options.ts';
import { coverageTable, describeExample, describeGroup, describeSummary, groupsTable } from './shadow-view.ts';
import { readSliceNamed, type SlicesOptions, withSlicesOption } from './slice-option.ts';
import { authorOf, type Terminal } from './terminal.ts';

type ReportOptions = RedisOptions & SlicesOptions & { json?: boolean; openapi?: string };
type AcceptOptions = RedisOptions & { reason?: string; by?: string; json?: boolean };

/** `strangler shadow report | show | replay | accept | unaccept | reset | calibrate | drive`. */
export const addShadowCommands = (program: Command, terminal: Terminal): void => {
  const shadow = program
    .command('shadow')
    .description('see how the answers of monolith and service differ, and get what lacks compared');

  withSlicesOption(withRedisOption(shadow.command('report <slice>')))
    .description(
      'show how many answers were compared, what came of them, which differ where, and which kinds of answers lack comparisons',
    )
    .option('--openapi <file>', "OpenAPI description of the slice's routes (default: the slice file's)")
    .option('--json', 'print JSON')
    .action(async (name: string, options: ReportOptions) => {
      const { slice, folder } = await readSliceNamed(name, options, terminal);
      const operations = await readOperations(slice, folder, options.openapi);
      await withReport(options, terminal, async (report) => {
        const summary = await report.summary(name);
        const groups = await report.groups(name);
        const coverage = coverageOf(wantedCells(slice, operations), await report.coverage(name));
        if (options.json) return terminal.out(JSON.stringify({ slice: name, ...summary, groups, coverage }));
        const perCell = slice.gates.shadow?.perCell ?? 1;
        terminal.out(
          [
            describeSummary(name, summary),
            ...(groups.length === 0 ? [] : [groupsTable(groups)]),
            coverageTable(coverage, perCell),
            ...(slice.shadow === null
              ? ['The slice file says nothing of `shadow`, or `shadow: off`: nothing is compared live.']
              : []),
          ].join('\n\n'),
        );
      });
    });

  withRedisOption(shadow.command('show <slice> <id>'))
    .description('show a group with its newest example, or one example: the request, both answers, each difference')
    .option('--json', 'print JSON')
    .action(async (slice: string, id: string, options: RedisOptions & { json?: boolean }) => {
      await withReport(options, terminal, async (report) => {
        const { group, example } = await findShown(report, slice, id);
        if (options.json) return terminal.out(JSON.stringify({ group, example }));
        const parts = [group && describeGroup(group), example && describeExample(example)];
        terminal.out(parts.filter((part) => part !== null).join('\n\n'));
      });
    });

  withRedisOption(shadow.command('accept <slice> <group>'))
    .description('say that a group of differences is meant to be: it is counted, and keeps no gate shut any more')
    .option('--reason <text>', 'why the two sides may differ there; needed')
    .option('--by <name>', 'who (default: $STRANGLER_USER, then user@host)')
    .option('--json', 'print JSON')
    .action(async (slice: string, group: string, options: AcceptOptions) => {
      const reason = options.reason?.trim() ?? '';
      if (reason === '') {
        throw new CliError('expected --reason <text>: why may the two sides differ there?', exitCodes.usage);
      }
      const by = options.by ?? authorOf(terminal);
      await withReport(options, terminal, async (report) => {
        if (!(await report.accept(slice, group, { by, reason }))) throw await noSuchGroup(report, slice, group);
        const { unexplained } = await report.summary(slice);
        if (options.json) return terminal.out(JSON.stringify({ slice, group, by, reason, unexplained }));
        terminal.out(`${slice}: ${group} is accepted by ${by}: ${reason}\n${unexplained} unexplained now`);
      });
    });

  withRedisOption(shadow.command('unaccept <slice> <group>'))
    .description('take an acceptance back')
    .option('--json', 'print JSON')
    .action(async (slice: string, group: string, options: RedisOptions & { json?: boolean }) => {
      await withReport(options, terminal, async (report) => {
        if (!(await report.unaccept(slice, group))) {
          throw new CliError(
            `${slice}: expected a group that was accepted, found that "${group}" is none; "strangler shadow report ${slice}" lists them`,
          );
        }
        const { unexplained } = await report.summary(slice);
        if (options.json) return terminal.out(JSON.stringify({ slice, group, unexplained }));
        terminal.out(`${slice}: ${group} is not accepted any more\n${unexplained} unexplained now`);
      });
    });

  withRedisOption(shadow.command('reset <slice>'))
    .description(
      'begin to count anew, after the service was mended: comparisons, groups and examples go, acceptances stay',
    )
    .option('--reason <text>', 'why; needed')
    .option('--json', 'print JSON')
    .action(async (slice: string, options: AcceptOptions) => {
      const reason = options.reason?.trim() ?? '';
      if (reason === '') {
        throw new CliError('expected --reason <text>: what was counted is gone for good', exitCodes.usage);
      }
      await withReport(options, terminal, async (report) => {
        const before = await report.summary(slice);
        await report.reset(slice);
        const by = authorOf(terminal);
        if (options.json) return terminal.out(JSON.stringify({ slice, by, reason, before }));
        terminal.out(`${describeSummary(slice, before)}\nforgotten by ${by}: ${reason}`);
      });
    });

  addShadowAskCommands(shadow, terminal);
};

const findShown = async (
  report: Answering,
  slice: string,
  id: string,
): Promise<{ group: ShadowGroup | null; example: ShadowExample | null }> => {
  const group = (await report.groups(slice)).find((one) => one.id === id) ?? null;
  const newest = group === null ? id : group.examples[0];
  const example = newest === undefined ? null : await report.example(slice, newest);
  if (group === null && example === null) throw await noSuchGroup(report, slice, id, 'group or example');
  return { group, example };
};

const noSuchGroup = async (report: Answering, slice: string, id: string, what = 'group'): Promise<CliError> => {
  const known = (await report.groups(slice)).slice(0, 5).map((group) => group.id);
  return new CliError(
    `${slice}: expected a ${what} of its report (${known.join(', ') || 'it has none'}), found "${id}"; "strangler shadow report ${slice}" lists them`,
  );
};
