/** Something that has happened to an order and that its customer is to be told of, once. */
export type Happening = { accountId: number; orderId: number; kind: string };

/** What one channel has told of what has happened. */
export type Account = { missing: Happening[]; doubled: Happening[]; strange: Happening[] };

const nameOf = ({ accountId, orderId, kind }: Happening): string => `${accountId} ${orderId} ${kind}`;

/**
 * Compares what has happened with what was told of it: each once, and nothing else. A happening that is expected twice is to be
 * told twice.
 */
export const accountFor = (expected: readonly Happening[], told: readonly Happening[]): Account => {
  const open = new Map<string, number>();
  for (const one of expected) open.set(nameOf(one), (open.get(nameOf(one)) ?? 0) + 1);
  const known = new Set(open.keys());
  const account: Account = { missing: [], doubled: [], strange: [] };
  for (const one of told) {
    const name = nameOf(one);
    const left = open.get(name) ?? 0;
    if (left > 0) open.set(name, left - 1);
    else account[known.has(name) ? 'doubled' : 'strange'].push(one);
  }
  for (const one of expected) {
    const left = open.get(nameOf(one)) ?? 0;
    if (left === 0) continue;
    account.missing.push(one);
    open.set(nameOf(one), left - 1);
  }
  return account;
};
