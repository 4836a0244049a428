import type { Log } from './log.ts';

/**
 * The same log, in which of each message text one warning at most, and one error, comes in `everyMs`; the next one that
 * comes tells as `leftOut` how many did not. For what goes on trying while a server is away.
 */
export function boundedLog(log: Log, everyMs = 10_000, nowMs = () => performance.now()): Log {
  const told = new Map<string, { atMs: number; leftOut: number }>();

  function bounded(level: 'warn' | 'error'): (...args: unknown[]) => void {
    return (...args) => {
      const [first, second] = args;
      const text = typeof first === 'string' ? first : String(second ?? '');
      const key = `${level} ${text}`;
      const before = told.get(key);
      if (before !== undefined && nowMs() - before.atMs < everyMs) {
        before.leftOut += 1;
        return;
      }
      const leftOut = before?.leftOut ?? 0;
      told.set(key, { atMs: nowMs(), leftOut: 0 });
      const fields = typeof first === 'object' && first !== null ? first : {};
      log[level](leftOut > 0 ? { ...fields, leftOut } : fields, text);
    };
  }

  return Object.assign(Object.create(log) as Log, { warn: bounded('warn'), error: bounded('error') });
}
