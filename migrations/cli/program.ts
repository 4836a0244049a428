import { Command, CommanderError } from 'commander';
import { addBackfillCommand } from './backfill-command.ts';
import { addDeadLetterCommands } from './dead-letter-commands.ts';
import { reportFailure } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { addFlagCommands } from './flag-commands.ts';
import { addParityCommands } from './fuzz-command.ts';
import { addGatewayCommands } from './gateway-commands.ts';
import { addKeysCommands } from './keys-commands.ts';
import { addPublishCommand } from './publish-command.ts';
import { addRepairCommand } from './repair-command.ts';
import { addShadowCommands } from './shadow-commands.ts';
import { addStageCommands } from './stage-commands.ts';
import { addStatusCommand } from './status-command.ts';
import type { Terminal } from './terminal.ts';
import { addVerifyCommand } from './verify-command.ts';
import { addWritersCommand } from './writers-command.ts';

/** Runs one command line (without node and script) and returns the exit status; never throws. */
export const runProgram = async (words: readonly string[], terminal: Terminal): Promise<number> => {
  const program = new Command('strangler')
    .description('Move one capability at a time out of a running MySQL monolith.')
    .showHelpAfterError('Type "strangler --help" for what there is.')
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
    })
    .exitOverride();
  addFlagCommands(program, terminal);
  addStageCommands(program, terminal);
  addStatusCommand(program, terminal);
  addBackfillCommand(program, terminal);
  addVerifyCommand(program, terminal);
  addRepairCommand(program, terminal);
  addWritersCommand(program, terminal);
  addDeadLetterCommands(program, terminal);
  addShadowCommands(program, terminal);
  addParityCommands(program, terminal);
  addPublishCommand(program, terminal, runProgram);
  addKeysCommands(program, terminal);
  addGatewayCommands(program, terminal);
  try {
    await program.parseAsync(words, { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    return reportFailure(error, terminal);
  }
};
