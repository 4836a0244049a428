import { Command, CommanderError } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

type AddCommands = (program: Command, terminal: Terminal) => void;

/**
 * The commands in the order in which help lists them, with the file in which each stands: most of what a command takes is the
 * loading of its modules, and nobody needs those of the others.
 */
export const commandFiles: readonly { names: readonly string[]; load: () => Promise<AddCommands> }[] = [
  { names: ['flag'], load: async () => (await import('./flag-commands.ts')).addFlagCommands },
  {
    names: ['plan', 'advance', 'rollback', 'resume'],
    load: async () => (await import('./stage-commands.ts')).addStageCommands,
  },
  { names: ['status'], load: async () => (await import('./status-command.ts')).addStatusCommand },
  { names: ['backfill'], load: async () => (await import('./backfill-command.ts')).addBackfillCommand },
  { names: ['verify'], load: async () => (await import('./verify-command.ts')).addVerifyCommand },
  { names: ['repair'], load: async () => (await import('./repair-command.ts')).addRepairCommand },
  { names: ['writers'], load: async () => (await import('./writers-command.ts')).addWritersCommand },
  { names: ['doctor'], load: async () => (await import('./doctor-command.ts')).addDoctorCommand },
  { names: ['dlq'], load: async () => (await import('./dead-letter-commands.ts')).addDeadLetterCommands },
  { names: ['shadow'], load: async () => (await import('./shadow-commands.ts')).addShadowCommands },
  { names: ['fuzz', 'parity'], load: async () => (await import('./fuzz-command.ts')).addParityCommands },
  {
    names: ['publish'],
    load: async () => {
      const { addPublishCommand } = await import('./publish-command.ts');
      return (program, terminal) => addPublishCommand(program, terminal, runProgram);
    },
  },
  { names: ['keys'], load: async () => (await import('./keys-commands.ts')).addKeysCommands },
  { names: ['gateway'], load: async () => (await import('./gateway-commands.ts')).addGatewayCommands },
];

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
  try {
    for (const { load } of filesFor(words)) (await load())(program, terminal);
    await program.parseAsync(words, { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    if (error instanceof CliError) {
      terminal.err(`strangler: ${error.message}`);
      return error.exitCode;
    }
    // It knows the errors of every command, and with them most of the engine.
    const { reportFailure } = await import('./errors.ts');
    return reportFailure(error, terminal);
  }
};

/** The file of the command that is named first; all of them where none is, for help and for what is not known. */
const filesFor = ([first]: readonly string[]): typeof commandFiles => {
  const named = commandFiles.filter(({ names }) => first !== undefined && names.includes(first));
  return named.length > 0 ? named : commandFiles;
};
