/** What the CLI's exit status means, so that scripts can tell a refusal from a fault. */
export const exitCodes = {
  done: 0,
  /** Something failed, or was found not to be as it should; the message says what. */
  failed: 1,
  /** The command line is wrong; nothing was tried. */
  usage: 2,
  /** Somebody else changes, or has changed, the same thing; nothing was written. */
  conflict: 3,
  /** The flag store, a database or another server cannot be reached. */
  unreachable: 4,
  /** A gate or a rule refuses what was asked. */
  refused: 5,
  /** Ctrl-C, or a signal to end, before the work was done; what was done stays, and the same command goes on from there. */
  interrupted: 130,
} as const;

/** A failure that is the user's to mend: one line that says what was expected, what was found and what to type next. */
export class CliError extends Error {
  override name = 'CliError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
