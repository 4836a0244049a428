import type { RequestFacts, Side } from './decision.ts';
import { cookieValue, stickyKeyOf } from './sticky-key.ts';

/** The cookie that says which side took a user's last writes: `<slice>:<side>:<until>`, several joined by `~`. */
export const wroteCookie = 'strangler_wrote';
/** Slices in one cookie; the one that expires first makes room. */
export const mostSlicesInCookie = 20;

export type OwnWritesOptions = {
  /** For how long after a write its side is read from: longer than the other side needs to catch up. */
  windowMs: number;
  /** Users remembered beside the cookie, for clients that keep none; the oldest is forgotten first. */
  maxUsers: number;
  /** Whether the cookie is for TLS connections only. */
  secureCookie: boolean;
  /** Milliseconds since the epoch: proxies and workers compare each other's. */
  nowMs: () => number;
  /** A user was forgotten before the window was over, because too many wrote. */
  onForgotten: () => void;
};

/**
 * Who has just written what, so that they read it where it is. A client's cookie tells all proxies; one that keeps no cookies
 * is known by its sticky key to the worker that it wrote through. A forged cookie moves its sender to the owner of the
 * writes, which is never behind.
 */
export type OwnWrites = {
  /** The side that took this user's last write of the slice, where that was within the window. */
  sideOf(slice: string, stickyBy: readonly string[], facts: RequestFacts): Side | null;
  /** Remembers a write that this side has taken, and returns the `Set-Cookie` value that says so. */
  took(slice: string, side: Side, stickyBy: readonly string[], facts: RequestFacts): string;
  /** Users remembered now. */
  size(): number;
};

type OwnWrite = { slice: string; side: Side; untilMs: number };

export const createOwnWrites = (options: OwnWritesOptions): OwnWrites => {
  const { windowMs, maxUsers, secureCookie, nowMs, onForgotten } = options;
  // A Map keeps its order: the first is the one that was written longest ago.
  const remembered = new Map<string, OwnWrite>();
  /** When the last of them is over: until then each read looks for its user, which may mean to decode a token. */
  let lastUntilMs = 0;

  const remember = (user: string, write: OwnWrite): void => {
    const now = nowMs();
    remembered.delete(user);
    for (const [oldest, { untilMs }] of remembered) {
      const over = untilMs <= now;
      if (!over && remembered.size < maxUsers) break;
      remembered.delete(oldest);
      if (!over) onForgotten();
    }
    remembered.set(user, write);
    lastUntilMs = Math.max(lastUntilMs, write.untilMs);
  };

  const valid = (facts: RequestFacts): OwnWrite[] => {
    const text = cookieValue(facts.headers.cookie, wroteCookie);
    if (text === null) return [];
    const now = nowMs();
    // Twice the window, because another proxy's clock may be ahead of this one's.
    return parseOwnWrites(text).filter(({ untilMs }) => untilMs > now && untilMs <= now + 2 * windowMs);
  };

  return {
    sideOf(slice, stickyBy, facts) {
      const told = valid(facts).find((write) => write.slice === slice);
      if (told !== undefined) return told.side;
      if (remembered.size === 0) return null;
      if (lastUntilMs <= nowMs()) {
        remembered.clear();
        return null;
      }
      const user = stickyKeyOf(stickyBy, facts);
      const write = user === null ? undefined : remembered.get(`${slice} ${user}`);
      return write !== undefined && write.untilMs > nowMs() ? write.side : null;
    },
    took(slice, side, stickyBy, facts) {
      const write = { slice, side, untilMs: nowMs() + windowMs };
      const user = stickyKeyOf(stickyBy, facts);
      if (user !== null) remember(`${slice} ${user}`, write);
      const others = valid(facts).filter((other) => other.slice !== slice);
      const all = [...others, write].sort((one, other) => other.untilMs - one.untilMs).slice(0, mostSlicesInCookie);
      const value = all.map((one) => `${one.slice}:${one.side}:${Math.ceil(one.untilMs)}`).join('~');
      const maxAgeSeconds = Math.ceil(windowMs / 1_000);
      return `${wroteCookie}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secureCookie ? '; Secure' : ''}`;
    },
    size: () => remembered.size,
  };
};

const parseOwnWrites = (text: string): OwnWrite[] =>
  text.split('~', mostSlicesInCookie).flatMap((part) => {
    const [, slice, side, until] = /^([a-z][a-z0-9-]{0,63}):(monolith|service):(\d{1,15})$/.exec(part) ?? [];
    return slice === undefined ? [] : [{ slice, side: side as Side, untilMs: Number(until) }];
  });
