import {
  type Captured,
  epochsOfBothOwners,
  inVersionOrder,
  showCaptured,
  transitionsOf,
  whyOutOfOrder,
} from './captured-order.ts';
import { whyNotLinearisable } from './linearisable.ts';
import { absent, deleted, describe, latestEffectMs, type Operation, type Side } from './operation.ts';

/** A time in which one side, and surely no other, owned the writes. */
export type Ownership = { side: Side; fromMs: number; untilMs: number };

/** What the clients logged, and what an independent reader found in both databases when the pipes were empty. */
export type Evidence = {
  history: readonly Operation[];
  /** What each key holds on each side; a key without a row is not there. */
  rows: Record<Side, ReadonlyMap<string, string>>;
  /** The outboxes of both sides, whole, in any order. */
  captured: readonly Captured[];
  /** What keys held before the first operation; a key that is not named had no row. */
  initial?: ReadonlyMap<string, string>;
  /**
   * Who owned the writes when. A read that was not answered by the owner, all the while, comes from a copy: it may be older
   * than the last write, but never of what was refused or not yet written. Without it every read must be the owner's.
   */
  ownership?: readonly Ownership[];
};

export type CutoverFindings = {
  /** Whether nothing of what must not be was found. */
  ok: boolean;
  operations: number;
  keys: number;
  acknowledged: { total: number; missing: number; doubled: number };
  refused: { total: number; present: number };
  /** Writes of which nobody knows; `applied` have come about, `split` on one side only. */
  unknown: { total: number; applied: number; split: number };
  /** Keys that hold one thing on one side and another on the other. */
  differing: number;
  /** Keys that hold, or reads and outbox rows that show, what nobody has written: torn, or somebody else's. */
  unexplained: number;
  /** Keys whose history no order of its operations explains. */
  notLinearisable: number;
  /** Epochs of one key in which both sides took a write. */
  bothOwners: number;
  /** Reads from a copy in which a client did not find its own acknowledged write. Told, and not a fault of the cut-over. */
  staleOwnReads: number;
  reads: { owners: number; copies: number };
  /** The first of each kind, in words. */
  counterexamples: string[];
};

/** The evidence cannot be judged: a client has logged what its contract forbids. */
export class EvidenceError extends Error {
  override name = 'EvidenceError';
}

const keptOfAKind = 5;

/**
 * Judges a run of cut-overs: each acknowledged write came about exactly once and stands on both sides, or was
 * followed by one that may follow it; a refused one on neither; one of unknown outcome on both or neither; each key's
 * history is linearisable; and no key was written on both sides in one epoch.
 * @throws EvidenceError where two writes of a key wrote the same
 */
export const checkCutovers = (evidence: Evidence): CutoverFindings => {
  const { history, rows, captured, initial = new Map<string, string>() } = evidence;
  const findings: CutoverFindings = {
    ok: true,
    operations: history.length,
    keys: 0,
    acknowledged: { total: 0, missing: 0, doubled: 0 },
    refused: { total: 0, present: 0 },
    unknown: { total: 0, applied: 0, split: 0 },
    differing: 0,
    unexplained: 0,
    notLinearisable: 0,
    bothOwners: 0,
    staleOwnReads: 0,
    reads: { owners: 0, copies: 0 },
    counterexamples: [],
  };
  const told = new Map<string, number>();
  const tell = (kind: string, words: string): void => {
    const count = (told.get(kind) ?? 0) + 1;
    told.set(kind, count);
    if (count <= keptOfAKind) findings.counterexamples.push(`${kind}: ${words}`);
  };

  const operationsOf = Map.groupBy(history, ({ key }) => key);
  const capturedOf = Map.groupBy(captured, ({ key }) => key);
  findings.keys = operationsOf.size;
  for (const [key, operations] of operationsOf) {
    const before = initial.get(key) ?? absent;
    const ordered = inVersionOrder(capturedOf.get(key) ?? []);
    const none = ordered.length === 0 && before === absent ? absent : deleted;
    const judged: Key = {
      key,
      operations,
      before,
      ordered,
      monolith: rows.monolith.get(key) ?? none,
      service: rows.service.get(key) ?? none,
    };
    if (judged.monolith !== judged.service) {
      findings.differing += 1;
      tell('sides differ', `${key} is ${judged.monolith} on the monolith's side, ${judged.service} on the service's`);
    }
    for (const words of epochsOfBothOwners(judged.ordered)) {
      findings.bothOwners += 1;
      tell('both owners', words);
    }
    if (operations.some(({ kind }) => kind === 'add')) checkCounter(judged, findings, tell);
    else checkRegister(judged, evidence, findings, tell);
  }
  const { acknowledged, refused, unknown } = findings;
  findings.ok =
    acknowledged.missing + acknowledged.doubled + refused.present + unknown.split === 0 &&
    findings.differing + findings.unexplained + findings.notLinearisable + findings.bothOwners === 0;
  return findings;
};

type Tell = (kind: string, words: string) => void;

/** One key and all that is known of it. */
type Key = Record<Side, string> & {
  key: string;
  operations: readonly Operation[];
  before: string;
  ordered: readonly Captured[];
};

/** A key whose value counts the adds: at least the acknowledged ones, at most these and the unknown ones. */
const checkCounter = (judged: Key, findings: CutoverFindings, tell: Tell): void => {
  const { key, operations, before, ordered } = judged;
  const count = (outcome: Operation['outcome']) =>
    operations.filter((one) => one.kind === 'add' && one.outcome === outcome).length;
  const [ok, refused, unknown] = [count('ok'), count('refused'), count('unknown')];
  findings.acknowledged.total += ok;
  findings.refused.total += refused;
  findings.unknown.total += unknown;
  const start = Number(before);
  const steps = transitionsOf(ordered, before);
  for (const { side, added } of [
    { side: "the monolith's side", added: Number(judged.monolith) - start },
    { side: "the service's side", added: Number(judged.service) - start },
    ...(ordered.length === 0 ? [] : [{ side: 'the outboxes', added: steps.length }]),
  ]) {
    const words = `${key} was counted up ${added} times on ${side}, ${ok} acknowledged, ${unknown} unknown, ${refused} refused`;
    if (!(added >= ok)) {
      findings.acknowledged.missing += Number.isNaN(added) ? ok : ok - added;
      tell('acknowledged and missing', words);
    } else if (added > ok + unknown) {
      findings.acknowledged.doubled += added - ok - unknown;
      tell('done more than once', words);
    }
  }
  if (unknown > 0) findings.unknown.applied += Math.max(0, Math.min(unknown, Number(judged.monolith) - start - ok));
};

/** A key whose value is the last write's. */
const checkRegister = (judged: Key, evidence: Evidence, findings: CutoverFindings, tell: Tell): void => {
  const { key, operations, before, ordered } = judged;
  const writes = writesByValue(key, operations);
  const transitions = transitionsOf(ordered, before);
  const timesTaken = new Map<string, number>();
  for (const { value } of transitions) timesTaken.set(value, (timesTaken.get(value) ?? 0) + 1);
  const known = (value: string) => value === before || writes.has(value);

  for (const row of transitions.filter(({ value }) => !known(value))) {
    findings.unexplained += 1;
    tell('nobody wrote that', `the ${showCaptured(row)}`);
  }
  const held = [judged.monolith, judged.service] as const;
  for (const value of new Set(held)) {
    if (known(value)) continue;
    findings.unexplained += 1;
    tell('nobody wrote that', `${key} holds ${JSON.stringify(value)} in the end`);
  }

  for (const write of writes.values()) {
    const value = write.value!;
    const times = timesTaken.get(value) ?? 0;
    const holders = held.filter((one) => one === value).length;
    if (write.outcome === 'ok') {
      findings.acknowledged.total += 1;
      const lost = whyLost(write, judged, writes, times);
      if (lost !== null) {
        findings.acknowledged.missing += 1;
        tell('acknowledged and missing', `${describe(write)}; ${lost}`);
      }
    } else if (write.outcome === 'refused') {
      findings.refused.total += 1;
      if (times + holders > 0) {
        findings.refused.present += 1;
        tell('refused and present', describe(write));
      }
    } else {
      findings.unknown.total += 1;
      if (times + holders > 0) findings.unknown.applied += 1;
      if (holders === 1) {
        findings.unknown.split += 1;
        tell('unknown, on one side only', describe(write));
      }
    }
    if (times > 1) {
      findings.acknowledged.doubled += 1;
      tell('done more than once', `${describe(write)}; the outboxes have it ${times} times`);
    }
  }
  checkOrder(judged, { transitions, writes, ownership: evidence.ownership }, findings, tell);
};

/** Why an acknowledged write did not come about, or does not stand where it should; null where all is well. */
const whyLost = (
  write: Operation,
  judged: Key,
  writes: ReadonlyMap<string, Operation>,
  times: number,
): string | null => {
  if (times === 0) return 'neither outbox has it';
  for (const side of ['monolith', 'service'] as const) {
    const value = judged[side];
    if (value === write.value) continue;
    const after = writes.get(value);
    if (after === undefined) {
      if (value === judged.before) return `on the ${side}'s side the key holds ${value}, as before everything`;
    } else if (latestEffectMs(after) < write.invokedAtMs)
      return `on the ${side}'s side an earlier write stands, ${describe(after)}`;
  }
  return null;
};

type Order = {
  transitions: readonly Captured[];
  writes: ReadonlyMap<string, Operation>;
  ownership: readonly Ownership[] | undefined;
};

/** Whether real time, the versions and the reads go together. */
const checkOrder = (
  { key, operations, before }: Key,
  { transitions, writes, ownership }: Order,
  findings: CutoverFindings,
  tell: Tell,
): void => {
  const reads = operations.filter(({ kind, outcome }) => kind === 'read' && outcome === 'ok');
  const { owners = [], copies = [] } = Object.groupBy(reads, (read) =>
    ownership === undefined || isOwners(read, ownership) ? 'owners' : 'copies',
  );
  findings.reads.owners += owners.length;
  findings.reads.copies += copies.length;
  const why =
    whyOutOfOrder(transitions, writes) ??
    whyNotLinearisable([...[...writes.values()].filter(({ outcome }) => outcome !== 'refused'), ...owners], before);
  if (why !== null) {
    findings.notLinearisable += 1;
    tell('not linearisable', `${key}: ${why}`);
  }
  for (const read of copies) {
    const write = writes.get(read.value!);
    const isPossible =
      read.value === before ||
      (write !== undefined && write.outcome !== 'refused' && write.invokedAtMs <= (read.endedAtMs ?? 0));
    if (!isPossible) {
      findings.unexplained += 1;
      tell('nobody wrote that', describe(read));
    }
    if (missesOwnWrite(read, operations, writes)) findings.staleOwnReads += 1;
  }
};

const isOwners = (read: Operation, ownership: readonly Ownership[]): boolean =>
  ownership.some(
    ({ side, fromMs, untilMs }) =>
      side === read.side && fromMs <= read.invokedAtMs && (read.endedAtMs ?? Number.POSITIVE_INFINITY) <= untilMs,
  );

/** The client had a later write acknowledged before it asked. */
const missesOwnWrite = (
  read: Operation,
  operations: readonly Operation[],
  writes: ReadonlyMap<string, Operation>,
): boolean => {
  const found = writes.get(read.value!);
  const foundEndMs = found === undefined ? Number.NEGATIVE_INFINITY : latestEffectMs(found);
  return operations.some(
    (own) =>
      own.kind === 'write' &&
      own.outcome === 'ok' &&
      own.client === read.client &&
      own.endedAtMs! < read.invokedAtMs &&
      foundEndMs < own.invokedAtMs,
  );
};

const writesByValue = (key: string, operations: readonly Operation[]): Map<string, Operation> => {
  const writes = new Map<string, Operation>();
  for (const operation of operations) {
    if (operation.kind !== 'write') continue;
    const { value } = operation;
    const other = value === null ? undefined : writes.get(value);
    if (value === null || other !== undefined)
      throw new EvidenceError(
        `${key}: expected each write to write a value of its own, found ${describe(operation)}${other === undefined ? '' : ` after ${describe(other)}`}`,
      );
    writes.set(value, operation);
  }
  return writes;
};
