import type { Command } from 'commander';
import { observedWriters } from '../engine/writers/observed-writers.ts';
import { wholeNumber } from './option-values.ts';
import { type PipeOptions, withOwnersPipe, withPipeOptions } from './pipe-options.ts';
import { requireInstalled } from './slice-tables.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

type WritersOptions = PipeOptions & { newest: string; json?: boolean };

/** `strangler writers`. */
export const addWritersCommand = (program: Command, terminal: Terminal): void => {
  withPipeOptions(program.command('writers <slice>'))
    .description("list who writes a slice's tables, by the changes that capture has seen")
    .option('--newest <count>', 'look at so many of the newest changes', '1000000')
    .option('--json', 'print a JSON list')
    .action(async (slice: string, options: WritersOptions) => {
      const newest = wholeNumber('--newest', options.newest, 1);
      await withOwnersPipe(options, terminal, slice, async (pipe) => {
        await requireInstalled(pipe);
        const writers = await observedWriters(pipe.source.read, { slice: pipe.slice.slice, newest });
        if (options.json) return terminal.out(JSON.stringify(writers));
        if (writers.length === 0) return terminal.out(`${slice}: none of its tables was seen to be written`);
        terminal.out(
          formatTable(
            ['USER', 'HOST', 'REQUEST', 'TABLES', 'CHANGES', 'FIRST', 'LAST'],
            writers.map(({ user, host, request, tables, changes, firstAt, lastAt }) => [
              user,
              host,
              request ?? '-',
              tables.join(' '),
              changes,
              instant(firstAt),
              instant(lastAt),
            ]),
          ),
        );
      });
    });
};

/** `2026-11-21 10:57:32.123456`, UTC, to the second, as flags tell theirs. */
const instant = (at: string): string => `${at.slice(0, 19).replace(' ', 'T')}Z`;
