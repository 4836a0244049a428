import type { FenceOwner } from '@strangler/platform/contracts/fence-refusal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { FlagListing } from '@strangler/platform/flags/store.ts';
import type { AskedProxy } from '@strangler/platform/proxy-status/ask-proxies.ts';
import type { Fence } from '../engine/fence/fence-state.ts';
import type { BrokerFigures } from '../engine/pipe/broker-figures.ts';
import type { Finding } from '../engine/preflight/finding.ts';
import type { ServerFacts } from '../engine/schema/read-server.ts';
import type { ObservedWriter } from '../engine/writers/observed-writers.ts';
import type { Fact } from './check.ts';

/** One database, as its server and its outbox tell. */
export type DatabaseFacts = {
  end: 'source' | 'target';
  /** Slices whose rows are, or are to be, in it. */
  slices: string[];
  /** Host, port and name. */
  where: string;
  server: Fact<{
    server: ServerFacts;
    isolation: string;
    timeZone: string;
    /** Its clock against this machine's, in milliseconds: positive where it is ahead. */
    clockAheadMs: number;
    /** Half of the round trip in which that was measured. */
    clockDoubtMs: number;
    /** Whether prepared XA transactions can be seen. */
    seesPrepared: boolean;
    outbox: OutboxFacts | null;
  }>;
};

export type OutboxFacts = {
  /** Age of the oldest row that is not published; 0 where there is none. */
  oldestUnpublishedMs: number;
  /** Parts, and those that a relay holds the lease of now. */
  parts: number;
  leased: number;
  /** Data and indexes. */
  bytes: number;
};

/** A slice, in its files, its databases and at the broker. */
export type SliceFacts = {
  slice: string;
  /** Whether it was looked into; one that was not has not begun. */
  looked: boolean;
  /** Null: the slice has no tables, or is at its end. */
  preflight: Fact<Finding[]> | null;
  fences: Fact<Record<FenceOwner, Pick<Fence, 'state' | 'epoch' | 'owner'> | null>> | null;
  /** Of the last cut-over: whether it is still open. */
  cutoverOpen: boolean;
  broker: Fact<BrokerFigures> | null;
  writers: Fact<ObservedWriter[]> | null;
};

export type StoreFacts = {
  location: string;
  listing: Fact<FlagListing>;
  /** A key that was written under a session and went with it; null where the store has no sessions. */
  session: Fact<'written and gone'> | null;
};

export type DiskFacts = { where: string; freeBytes: number; totalBytes: number };

/** All that the checks look at. Nothing in it was changed by gathering it. */
export type Facts = {
  /** Of this machine. */
  now: Date;
  /** Null: all slice files can be read. */
  sliceFiles: Fact<{ folder: string; slices: string[] }>;
  databases: DatabaseFacts[];
  slices: SliceFacts[];
  broker: { where: string; answers: Fact<{ exchange: boolean; exchangeName: string }> };
  redis: { where: string; answers: Fact<{ version: string; policy: string; maxBytes: number }> };
  store: StoreFacts;
  proxies: AskedProxy[];
  disk: Fact<DiskFacts>;
};

/** The flag document of a slice that is in force; the beginning of all where there is none. */
export const flagOf = ({ store }: Pick<Facts, 'store'>, slice: string): FlagDocument | null =>
  store.listing.known ? (store.listing.value.flags.get(slice)?.document ?? null) : null;
