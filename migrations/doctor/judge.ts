import type { Check } from './check.ts';
import type { Facts } from './facts.ts';
import { judgeFences, judgeProxies, judgeStore } from './judge-flags.ts';
import { judgeDatabase, judgeDisk, judgeRedis } from './judge-servers.ts';
import { judgeBroker, judgePreflight, judgeSliceFiles, judgeWriters } from './judge-slices.ts';

/** Everything that can be said of the facts, in the order in which a person would look. */
export const judge = (facts: Facts): Check[] => [
  ...judgeSliceFiles(facts),
  ...facts.slices.flatMap(judgePreflight),
  ...facts.databases.flatMap(judgeDatabase),
  ...judgeBroker(facts),
  ...judgeRedis(facts),
  ...judgeStore(facts),
  ...facts.slices.flatMap((slice) => judgeFences(facts, slice)),
  ...judgeProxies(facts),
  ...facts.slices.flatMap(judgeWriters),
  ...judgeDisk(facts),
];
