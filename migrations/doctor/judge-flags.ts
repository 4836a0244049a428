import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { obeyedBy } from '@strangler/platform/proxy-status/slice-standing.ts';
import { defaultHoldMs } from '../engine/cutover/run-cutover.ts';
import { type Check, fail, ok, spanText, warn } from './check.ts';
import { type Facts, flagOf, type SliceFacts } from './facts.ts';

export const judgeStore = ({ store }: Pick<Facts, 'store'>): Check[] => {
  const about = (check: string, expected: string) => ({
    area: 'flags' as const,
    check,
    where: store.location,
    expected,
  });
  const readable = about('flags-readable', 'a store that answers, with documents that can be read');
  if (!store.listing.known) {
    return [
      fail(
        readable,
        store.listing.why,
        'Start it, or name another with --flags or $STRANGLER_FLAGS. Until then proxies go on as it last said, and nothing can be moved.',
      ),
    ];
  }
  const { flags, refused } = store.listing.value;
  const checks = [...refused].map(([slice, fault]) =>
    fail(
      { ...readable, where: `${store.location}: ${slice}` },
      fault.message,
      `Put a good one in its place: "strangler flag history ${slice}" has the last. Proxies keep to what they knew.`,
    ),
  );
  if (refused.size === 0)
    checks.push(ok(readable, flags.size === 0 ? 'no slice has flags yet' : `${flags.size} slices`));
  if (store.session === null) return checks;
  const sessions = about('flags-sessions', 'that a key can be written under a session, and goes with it');
  checks.push(
    store.session.known
      ? ok(sessions, store.session.value)
      : fail(
          sessions,
          store.session.why,
          'See that the token may write strangler/ and sessions: without them proxies cannot acknowledge a hold, and no cut-over begins.',
        ),
  );
  return checks;
};

type Fences = Extract<NonNullable<SliceFacts['fences']>, { known: true }>['value'];

/** What fences, epochs and flags of a slice say together: at any time one side takes its writes, and only one. */
export const judgeFences = (
  facts: Pick<Facts, 'store' | 'now'>,
  { slice, looked, fences, cutoverOpen }: SliceFacts,
): Check[] => {
  if (!looked) return [];
  const flag = flagOf(facts, slice);
  const about = (check: string, expected: string) => ({ area: 'fences' as const, check, where: slice, expected });
  const held = judgeHold(flag, facts.now, slice, cutoverOpen);
  if (fences === null) return held;
  const agree = about('fences-agree', 'fences that let one side write, the one that the flag names');
  if (!fences.known) return [...held, fail(agree, fences.why, `"strangler status ${slice}" asks the same again.`)];
  if (flag?.writes.owner === 'held') return held;
  const owner = flag?.writes.owner ?? 'monolith';
  const found = fencesText(fences.value);
  const fault = faultOf(fences.value, owner, flag?.epoch ?? 0);
  return [
    ...held,
    fault === null
      ? ok(agree, found)
      : fail(
          agree,
          `${fault} (${found}, flag: ${owner}, epoch ${flag?.epoch ?? 0})`,
          `"strangler resume ${slice}" finishes or calls off what was begun; "strangler status ${slice}" shows the journal. Do not open a fence by hand while both sides may run.`,
        ),
  ];
};

const judgeHold = (flag: FlagDocument | null, now: Date, slice: string, cutoverOpen: boolean): Check[] => {
  const about = {
    area: 'fences' as const,
    check: 'cutover-at-its-end',
    where: slice,
    expected: 'no cut-over that was left in the middle',
  };
  const next = `Is nobody at it any more, "strangler resume ${slice}" finishes it or calls it off.`;
  if (flag?.writes.owner === 'held') {
    const late = now.getTime() > Date.parse(flag.writes.deadline);
    return [
      late
        ? fail(about, `writes are held, and the deadline was ${flag.writes.deadline}`, next)
        : warn(
            about,
            `writes are held until ${flag.writes.deadline}`,
            'A cut-over is under way; look again when it is over.',
          ),
    ];
  }
  return [cutoverOpen ? fail(about, 'its journal is open', next) : ok(about, 'none')];
};

const faultOf = (fences: Fences, owner: 'monolith' | 'service', epoch: number): string | null => {
  const other = owner === 'monolith' ? 'service' : 'monolith';
  const newest = Math.max(fences.monolith?.epoch ?? 0, fences.service?.epoch ?? 0);
  if (fences[owner]?.state === 'closed')
    return `the fence of the ${owner}, which owns the writes, is closed: its writes are refused`;
  if (owner === 'service' && fences[other] === null)
    return 'the monolith has no fence: whoever writes there is not refused';
  if (fences[other]?.state === 'open' && (fences[owner] !== null || owner === 'service'))
    return `the fence of the ${other}, which does not own the writes, is open: both sides may write`;
  if (newest > epoch) return `a fence was moved under epoch ${newest}, which the flag has not reached`;
  return null;
};

const fencesText = (fences: Fences): string =>
  (['monolith', 'service'] as const)
    .map(
      (side) => `${side} ${fences[side] === null ? 'has none' : `${fences[side].state}, epoch ${fences[side].epoch}`}`,
    )
    .join('; ');

export const judgeProxies = (facts: Pick<Facts, 'proxies' | 'store'>): Check[] => {
  const area = 'proxies' as const;
  const flags = facts.store.listing.known
    ? [...facts.store.listing.value.flags.values()].map(({ document }) => document)
    : [];
  if (facts.proxies.length === 0) {
    const about = { area, check: 'proxies-live', where: 'all', expected: 'a proxy' };
    const next =
      'Start one, or name its admin address with --proxy. A cut-over waits for no proxy that it does not know.';
    return [flags.length === 0 ? ok(about, 'none, and no flags to obey') : warn(about, 'none', next)];
  }
  const checks: Check[] = [];
  for (const asked of facts.proxies) {
    const about = {
      area,
      check: 'proxies-live',
      where: asked.address,
      expected: 'a proxy that answers and follows the flags',
    };
    if ('failure' in asked) {
      checks.push(
        fail(
          about,
          asked.failure,
          'See that it runs; while it is registered and silent, a cut-over waits for it in vain.',
        ),
      );
      continue;
    }
    const { status } = asked;
    const stale = status.workers.filter(({ flagSource }) => flagSource === 'disk').length;
    if (status.membership === 'cut-off')
      checks.push(
        fail(about, 'its session in Consul has ended', 'See that it reaches Consul: until then it keeps writes back.'),
      );
    else if (stale > 0)
      checks.push(
        warn(
          about,
          `${stale} of ${status.workers.length} workers obey flags from the disk`,
          'See that it reaches the flag store.',
        ),
      );
    else checks.push(ok(about, `${status.id}, ${status.workers.length} workers`));
  }
  const answered = facts.proxies.flatMap((proxy) => ('status' in proxy ? [proxy.status] : []));
  for (const document of flags) {
    const { obeying, all } = obeyedBy(answered, document);
    const about = {
      area,
      check: 'proxies-agree',
      where: document.slice,
      expected: 'every worker of every proxy on the newest flags',
    };
    const found = `${obeying} of ${all} workers`;
    const known = answered.some(({ slices }) => slices.some(({ slice }) => slice === document.slice));
    if (!known && all > 0)
      checks.push(
        warn(about, 'no proxy knows the slice', 'Start the proxies with the slice file in STRANGLER_SLICES.'),
      );
    else
      checks.push(
        obeying === all
          ? ok(about, found)
          : fail(
              about,
              found,
              'Look again in a second; then restart those that lag, or see what keeps them from the store.',
            ),
      );
    checks.push(...judgeSlowWrites(answered, document));
  }
  return checks;
};

/** Whether a cut-over could wait for the slice's writes; nobody asks once there is none left to come. */
const judgeSlowWrites = (proxies: readonly ProxyStatus[], { slice, stage }: FlagDocument): Check[] => {
  if (stage === 'complete') return [];
  const writes = proxies
    .flatMap(({ workers }) => workers)
    .flatMap(({ writes = [] }) => writes.filter((one) => one.slice === slice))
    .flatMap(({ oldest, slowest }) => [
      ...(oldest ? [{ route: oldest.route, tookMs: oldest.forMs }] : []),
      ...(slowest ? [slowest] : []),
    ]);
  if (writes.length === 0) return [];
  const longest = writes.reduce((one, other) => (other.tookMs > one.tookMs ? other : one));
  const about = {
    area: 'proxies' as const,
    check: 'proxies-slow-writes',
    where: slice,
    expected: `no write that takes longer than the ${spanText(defaultHoldMs)} for which a cut-over waits for it`,
  };
  const found = `${longest.route} took ${spanText(longest.tookMs)} within the last minutes`;
  return [
    longest.tookMs <= defaultHoldMs
      ? ok(about, found)
      : warn(
          about,
          found,
          'A cut-over that meets one is called off. Shorten what it waits for, or say --hold with more, which everybody else who writes then waits too.',
        ),
  ];
};
