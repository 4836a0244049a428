import { z } from 'zod';
import { sides } from './flag-document.ts';

/** The steps of a cut-over, in order. `commit` is the one that cannot be taken back. */
export const cutoverSteps = ['prepare', 'hold', 'fence', 'drain', 'arm', 'commit', 'release'] as const;
/** `call off` is what comes instead of the steps that are left, when one before `commit` fails. */
export const journalSteps = [...cutoverSteps, 'call off'] as const;
export type CutoverStep = (typeof cutoverSteps)[number];
export type JournalStep = (typeof journalSteps)[number];

/**
 * `done`: `to` owns the writes. `called off`: `from` owns them, as before. `waiting for resume`: it could neither be
 * finished nor called off, because a server was away. null: it is under way, or its coordinator has died.
 */
export const cutoverOutcomes = ['done', 'called off', 'waiting for resume'] as const;
export type CutoverOutcomeName = (typeof cutoverOutcomes)[number];

/** Where the copy of a slice's journal stands in Consul; the one that counts is in the monolith's database. */
export const cutoverKey = (root: string, slice: string): string => `${root}/cutovers/${slice}`;

const step = z.object({
  step: z.enum(journalSteps),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
  /** What it found or waited for. */
  detail: z.string().nullable(),
});

/** What a coordinator has begun and ended of one cut-over. A step is written here before it is begun. */
export const cutoverJournalSchema = z.object({
  id: z.string().min(1).max(64),
  slice: z.string().min(1).max(64),
  from: z.enum(sides),
  to: z.enum(sides),
  /** Of the flag document when it began. */
  fromEpoch: z.int().min(1),
  /** Under which `to` owns the writes once it is committed; no other cut-over commits under it. */
  epoch: z.int().min(2),
  by: z.string(),
  reason: z.string(),
  host: z.string(),
  pid: z.int(),
  /** Until when proxies hold writes; null before they were asked to. */
  deadline: z.iso.datetime().nullable(),
  steps: z.array(step),
  /** The highest outbox id of `from` at or below which every change was applied before anything was held; decimal text. */
  floor: z.string().nullable(),
  /** `change.id` of the flag documents that it has written. */
  changeIds: z.object({ hold: z.string().nullable(), commit: z.string().nullable(), callOff: z.string().nullable() }),
  outcome: z.enum(cutoverOutcomes).nullable(),
  /** Why it was called off, or waits. */
  why: z.string().nullable(),
});

export type CutoverJournal = z.infer<typeof cutoverJournalSchema>;
