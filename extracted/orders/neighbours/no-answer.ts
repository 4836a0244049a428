/** Somebody else did not answer, or could not just now. What was asked for may have been done. */
export class NoAnswer extends Error {
  constructor(what: string, cause: unknown) {
    const found = cause instanceof Error ? cause.message : String(cause);
    super(`${what}: ${found}`, { cause });
    this.name = 'NoAnswer';
  }
}
