import { bucketsPerPercent, type Cohort, type FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { ClaimedRoute, RouteTable } from '../routes/route-table.ts';
import { bucketOf } from './bucket.ts';
import type { Access, Decide, Decision, RequestFacts, Side } from './decision.ts';
import type { OwnWrites } from './own-writes.ts';
import { cookieValue, stickyCookie, stickyKeyOf, userOf } from './sticky-key.ts';

export type DecideOptions = {
  routes: RouteTable;
  /** The flag document in force for a slice. */
  flagOf: (slice: string) => FlagDocument | undefined;
  /** A new sticky id for a user who brings none; random, so that it says nothing about anyone. */
  newStickyId: () => string;
  /** Whether the sticky cookie is for TLS connections only. */
  secureCookie: boolean;
  /** Who has just written what; null: nobody is asked, and a user may read what is older than what they wrote. */
  ownWrites: Pick<OwnWrites, 'sideOf'> | null;
};

/** Makes the function that says, for one request, which side serves it and why. It does no I/O and never throws. */
export const createDecide = ({ routes, flagOf, newStickyId, secureCookie, ownWrites }: DecideOptions): Decide => {
  const stickyCookieFor = (id: string): string =>
    `${stickyCookie}=${id}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax${secureCookie ? '; Secure' : ''}`;

  const decideRead = (facts: RequestFacts, route: ClaimedRoute, flag: FlagDocument): Decision => {
    const decided = decideByFlag(facts, route, flag);
    // Only from the service's copy to the monolith that owns the writes; once the service owns them it has the newest.
    if (decided.side === 'monolith' || decided.reason === 'forced' || ownerOf(flag) === 'service') return decided;
    if (ownWrites?.sideOf(route.slice, route.stickyBy, facts) !== 'monolith') return decided;
    return { ...decision(facts, route, flag, 'monolith', 'own-write'), setCookie: decided.setCookie };
  };

  const decideByFlag = (facts: RequestFacts, route: ClaimedRoute, flag: FlagDocument): Decision => {
    // Once the service takes the writes the monolith's copy follows it and may be behind: nobody reads there.
    if (ownerOf(flag) === 'service') return decision(facts, route, flag, 'service', 'all-service');
    if (facts.forcedSide !== null) return decision(facts, route, flag, facts.forcedSide, 'forced');

    const { cohorts, percent } = flag.reads;
    const split = percent > 0 && percent < 100;
    if (!split && cohorts.length === 0) return uniform(facts, route, flag);

    const key = stickyKeyOf(route.stickyBy, facts);
    const cohort = cohorts.find(({ when }) => matches(when, facts, key));
    if (cohort !== undefined) return decision(facts, route, flag, cohort.side, 'cohort');
    if (!split) return uniform(facts, route, flag);

    const newId = key === null ? newStickyId() : null;
    const stickyKey = key ?? `cookie.${stickyCookie}=${newId}`;
    const side = bucketOf(route.slice, stickyKey) < percent * bucketsPerPercent ? 'service' : 'monolith';
    const decided = decision(facts, route, flag, side, 'percentage');
    if (newId !== null) decided.setCookie = stickyCookieFor(newId);
    return decided;
  };

  return (facts) => {
    const route = routes.match(facts.method, facts.path);
    if (route === null) return unclaimed(facts);
    const flag = flagOf(route.slice);
    if (flag === undefined) return decision(facts, route, null, 'monolith', 'no-flag');
    if (route.access === 'read') return decideRead(facts, route, flag);
    // A write goes to its one owner, whoever asks: a forced write would give a row two owners.
    if (flag.writes.owner === 'held') return decision(facts, route, flag, flag.writes.from, 'held');
    const decided = decision(facts, route, flag, flag.writes.owner, 'write-owner');
    if (ownWrites !== null && flag.writes.owner === 'monolith' && servesReads(flag)) {
      decided.ownWrite = { stickyBy: route.stickyBy };
    }
    return decided;
  };
};

/** Who has the newest data: while writes are held, still the side that they are being moved from. */
const ownerOf = ({ writes }: FlagDocument): Side => (writes.owner === 'held' ? writes.from : writes.owner);

/** Whether the service answers reads of some, or soon may. */
const servesReads = ({ stage, reads }: FlagDocument): boolean =>
  stage === 'canary' || stage === 'reads' || reads.percent > 0 || reads.cohorts.length > 0;

const uniform = (facts: RequestFacts, route: ClaimedRoute, flag: FlagDocument): Decision =>
  flag.reads.percent === 0
    ? decision(facts, route, flag, 'monolith', 'all-monolith')
    : decision(facts, route, flag, 'service', 'all-service');

const decision = (
  facts: RequestFacts,
  route: ClaimedRoute,
  flag: FlagDocument | null,
  side: Side,
  reason: Decision['reason'],
): Decision => ({
  side,
  reason,
  access: route.access,
  slice: route.slice,
  service: route.service,
  route: route.template,
  // While writes are held the side that they move from has them all.
  monolithMayServe: side === 'service' && route.access === 'read' && flag !== null && ownerOf(flag) === 'monolith',
  epoch: flag?.epoch ?? null,
  changeId: flag?.change.id ?? null,
  ownWrite: null,
  setCookie: null,
  disclose: facts.operator,
});

const unclaimed = (facts: RequestFacts): Decision => ({
  side: 'monolith',
  reason: 'no-slice',
  access: accessByMethod(facts.method),
  slice: null,
  service: null,
  route: null,
  monolithMayServe: false,
  epoch: null,
  changeId: null,
  ownWrite: null,
  setCookie: null,
  disclose: facts.operator,
});

/** Safe methods read (RFC 9110, section 9.2.1); everything else may write. */
const accessByMethod = (method: string): Access =>
  method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE' ? 'read' : 'write';

const matches = (when: Cohort['when'], facts: RequestFacts, stickyKey: string | null): boolean => {
  if ('users' in when) return stickyKey !== null && userSet(when.users).has(userOf(stickyKey));
  if ('cookie' in when) return cookieValue(facts.headers.cookie, when.cookie) === when.equals;
  return facts.headers[when.header.toLowerCase()] === when.equals;
};

// A list may hold ten thousand users and is asked on every request; a document is replaced as a whole, never changed.
const userSets = new WeakMap<readonly string[], ReadonlySet<string>>();
const userSet = (users: readonly string[]): ReadonlySet<string> => {
  let set = userSets.get(users);
  if (set === undefined) {
    set = new Set(users);
    userSets.set(users, set);
  }
  return set;
};
