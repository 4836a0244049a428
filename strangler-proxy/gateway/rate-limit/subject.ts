import { hash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { PolicyRequest } from '../policy.ts';

/** What requests are counted by. */
export const countables = ['user', 'key', 'address', 'everybody'] as const;
export type Countable = (typeof countables)[number];

/** Who a request is counted for: the first of `by` that is known of it, else the client's address. */
export const subjectOf = (by: readonly Countable[], { identity, facts }: PolicyRequest): string => {
  for (const what of by) {
    if (what === 'everybody') return 'everybody';
    if (what === 'address') break;
    const known = identity[what];
    if (known !== null) return `${what} ${known}`;
  }
  return `address ${countedAddress(facts.clientAddress)}`;
};

/** An IPv6 address by its first 64 bits: whoever has one has all of them. */
export const countedAddress = (address: string): string => {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.toLowerCase().split('%')[0]!.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  // Dotted digits at the end stand for two groups.
  const lastCount = last.length + (last.at(-1)?.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? 0 : 8 - first.length - lastCount;
  const groups = [...first, ...Array<string>(Math.max(0, zeros)).fill('0'), ...last].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
};

/** Route and subject by which a request is counted. Long ones by their hash: what is kept of each has a bound. */
export const countedBy = (route: string, subject: string): string =>
  route.length + subject.length <= 128 ? `${route}\n${subject}` : hash('sha256', `${route}\n${subject}`, 'base64url');

/** Names nobody to whoever reads Redis, and is as short for the longest name. `counted`: of `countedBy`. */
export const redisKey = (policy: string, counted: string): string =>
  `gateway:rate:${policy}:${hash('sha256', counted, 'base64url')}`;
