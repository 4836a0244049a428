import type { WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { CountedReads } from '../canary/count-reads.ts';
import type { QuietHold } from '../hold/write-gate.ts';

/** What the primary says to a worker. */
export type ToWorker =
  | { kind: 'tell-status'; question: number }
  | { kind: 'stop'; reason: string }
  /** Files that are followed are to be read again now. */
  | { kind: 'reload' }
  /** A `Standing`; `untilMs` is on the clock that all processes of a machine share, null where it never ends. */
  | { kind: 'standing'; untilMs: number | null; floor: [slice: string, epoch: number][] };

/** What a worker says to the primary. */
export type ToPrimary =
  | { kind: 'listening'; port: number }
  | { kind: 'status'; question: number; status: WorkerStatus }
  /** The worker obeys flags, will take traffic next, and is to be asked about every hold from now on. */
  | { kind: 'knows-flags' }
  | { kind: 'hold'; slice: string; hold: QuietHold | null }
  /** Reads of slices at stage `canary` since the last such message; sent every second while there are such slices. */
  | { kind: 'canary'; reads: CountedReads[] }
  /** The worker cannot start, and another try would end the same. */
  | { kind: 'unusable'; why: string };

/** prom-client's own messages pass through the same channel. */
export const isToWorker = (message: unknown): message is ToWorker =>
  hasKind(message, ['tell-status', 'stop', 'reload', 'standing']);
export const isToPrimary = (message: unknown): message is ToPrimary =>
  hasKind(message, ['listening', 'status', 'knows-flags', 'hold', 'canary', 'unusable']);

const hasKind = (message: unknown, kinds: readonly string[]): boolean =>
  typeof message === 'object' && message !== null && 'kind' in message && kinds.includes(message.kind as string);

/** Milliseconds of a clock that only grows and is the same in all processes of this machine. */
export const sharedNowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Sends to the primary; `sent` is called in any case, also where the primary is gone. */
export const tellPrimary = (message: ToPrimary, sent: () => void = () => {}): void => {
  if (process.connected && process.send) process.send(message, undefined, undefined, sent);
  else sent();
};
