import { ConsulError, ConsulUnreachable } from '@strangler/platform/consul/errors.ts';
import { FlagDocumentError } from '@strangler/platform/contracts/flag-document.ts';
import { SliceFileError } from '@strangler/platform/contracts/slice-file.ts';
import { FlagConflictError } from '@strangler/platform/flags/store.ts';
import { ZodError } from 'zod';
import { CliError, exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** Says in one line what failed and returns the exit status; only what nobody foresaw comes with a stack. */
export const reportFailure = (error: unknown, { err }: Pick<Terminal, 'err'>): number => {
  if (error instanceof CliError) {
    err(`strangler: ${error.message}`);
    return error.exitCode;
  }
  if (error instanceof FlagConflictError) {
    err(`strangler: ${error.message}`);
    return exitCodes.conflict;
  }
  if (error instanceof ConsulUnreachable) {
    err(`strangler: ${error.message}. Is Consul running there? Name another with --flags consul://host:port.`);
    return exitCodes.unreachable;
  }
  if (error instanceof ZodError) {
    err(`strangler: ${error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}`);
    return exitCodes.usage;
  }
  if (error instanceof ConsulError || error instanceof FlagDocumentError || error instanceof SliceFileError) {
    err(`strangler: ${error.message}`);
    return exitCodes.failed;
  }
  err(`strangler: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return exitCodes.failed;
};
