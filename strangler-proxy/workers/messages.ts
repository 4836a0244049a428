import type { WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';

/** What the primary says to a worker. */
export type ToWorker = { kind: 'tell-status'; question: number } | { kind: 'stop'; reason: string };

/** What a worker says to the primary. */
export type ToPrimary =
  | { kind: 'listening'; port: number }
  | { kind: 'status'; question: number; status: WorkerStatus }
  /** The worker cannot start, and another try would end the same. */
  | { kind: 'unusable'; why: string };

/** prom-client's own messages pass through the same channel. */
export const isToWorker = (message: unknown): message is ToWorker => hasKind(message, ['tell-status', 'stop']);
export const isToPrimary = (message: unknown): message is ToPrimary =>
  hasKind(message, ['listening', 'status', 'unusable']);

const hasKind = (message: unknown, kinds: readonly string[]): boolean =>
  typeof message === 'object' && message !== null && 'kind' in message && kinds.includes(message.kind as string);

/** Sends to the primary; `sent` is called in any case, also where the primary is gone. */
export const tellPrimary = (message: ToPrimary, sent: () => void = () => {}): void => {
  if (process.connected && process.send) process.send(message, undefined, undefined, sent);
  else sent();
};
