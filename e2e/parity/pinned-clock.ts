/**
 * Loaded before a program (`--import`) this makes every `new Date()` and `Date.now()` in it the moment that PINNED_TIME names.
 * Two sides that are sent the same then write the same times, and so the same ETags: their answers can be compared whole.
 */
const pinnedMs = Date.parse(process.env.PINNED_TIME ?? '');
if (Number.isNaN(pinnedMs)) throw new Error('PINNED_TIME: expected a time such as 2026-01-01T12:00:00.000Z');

const RealDate = Date;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: [], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [pinnedMs] : args, newTarget),
  apply: (target) => new target(pinnedMs).toString(),
  get: (target, name) => (name === 'now' ? () => pinnedMs : Reflect.get(target, name, target)),
});

export {};
