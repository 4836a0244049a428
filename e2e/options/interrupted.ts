/**
 * A signal that fires when somebody asks this process to end. That may come twice, from a terminal and from npm: the second
 * must not cut short what the first has begun.
 */
export const interruptedBySignals = (): AbortSignal => {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => interrupted.abort(new Error(`stopped by ${signal}`)));
  }
  return interrupted.signal;
};
