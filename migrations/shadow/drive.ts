import { pause } from '@strangler/platform/backoff.ts';
import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import { statusClassOf } from '@strangler/platform/shadow-report/entry.ts';
import type { SentRequest } from '../http/side.ts';
import type { ApiOperation } from '../openapi/operation.ts';
import { createRequestMaker, type RequestMaker } from './make-requests.ts';
import type { Coverage, WantedRole } from './wanted-cells.ts';

export type DriveOptions = {
  /** Sends a request through the proxy; null: no answer. */
  ask(request: SentRequest): Promise<ComparedAnswer | null>;
  operationOf(endpoint: string): ApiOperation;
  /** Values of Authorization, one an account. */
  authorizations: readonly string[];
  /** Comparisons without a difference that are wanted of each cell. */
  perCell: number;
  /** Whether writes are sent too: they are made, on whoever owns them. */
  writes: boolean;
  perSecond: number;
  signal: AbortSignal;
  /** Called after each cell. */
  tell(driven: DrivenCell): void;
};

/** What was done for one cell that lacked comparisons. */
export type DrivenCell = Coverage & {
  /** Answers of the wanted class that requests brought. */
  brought: number;
  /** Requests that were sent for it. */
  sent: number;
  /** Why it was not brought up to what is wanted; null: it was. */
  cannot: string | null;
};

/** Makes requests for what lacks, one cell after the other. */
export const drive = async (lacking: readonly Coverage[], options: DriveOptions): Promise<DrivenCell[]> => {
  const pace = createPace(options.perSecond, options.signal);
  const ask = async (request: SentRequest): Promise<ComparedAnswer | null> => {
    await pace();
    return options.signal.aborted ? null : await options.ask(request);
  };
  const maker = createRequestMaker(ask);
  const driven: DrivenCell[] = [];
  for (const cell of lacking) {
    const done = await driveCell(cell, maker, ask, options);
    options.tell(done);
    driven.push(done);
    if (options.signal.aborted) break;
  }
  return driven;
};

const driveCell = async (
  cell: Coverage,
  maker: RequestMaker,
  ask: (request: SentRequest) => Promise<ComparedAnswer | null>,
  { operationOf, authorizations, perCell, writes, signal }: DriveOptions,
): Promise<DrivenCell> => {
  const undone = (cannot: string): DrivenCell => ({ ...cell, brought: 0, sent: 0, cannot });
  if (cell.access === 'write' && !writes) return undone('it is a write: only sent with --writes');
  const operation = operationOf(cell.endpoint);
  if (operation.method === 'DELETE' && cell.statusClass === '2xx') return undone('it deletes: send it yourself');
  const who = headersFor(cell.role, operation, authorizations);
  if (typeof who === 'string') return undone(who);

  const made: SentRequest[] = [];
  let cannot: string | null = null;
  for (const headers of who) {
    const candidates = await maker.candidates(cell, operation, headers);
    cannot ??= candidates.cannot;
    made.push(...candidates.requests);
  }
  if (made.length === 0) return undone(cannot ?? 'no request can be made for it');

  const wanted = perCell - cell.clean;
  let brought = 0;
  let sent = 0;
  const seen = new Set<string>();
  // What brings another class of answer is not sent again; what fits is, until there are enough.
  const fitting: SentRequest[] = [];
  const waiting = [...made];
  while (brought < wanted && !signal.aborted) {
    const request = waiting.shift() ?? fitting[sent % Math.max(1, fitting.length)];
    if (request === undefined) break;
    const answer = await ask(request);
    sent += 1;
    if (answer === null) {
      seen.add('no answer');
      if (fitting.length === 0 && waiting.length === 0) break;
      if (sent > wanted + made.length) break;
      continue;
    }
    const statusClass = statusClassOf(answer.status);
    seen.add(String(answer.status));
    if (statusClass !== cell.statusClass) {
      const again = fitting.indexOf(request);
      if (again !== -1) fitting.splice(again, 1);
      continue;
    }
    brought += 1;
    if (!fitting.includes(request)) fitting.push(request);
  }
  const short = brought < wanted;
  return {
    ...cell,
    brought,
    sent,
    cannot: short
      ? signal.aborted
        ? 'stopped'
        : `its requests were answered ${[...seen].join(', ') || 'not at all'}`
      : null,
  };
};

/** The headers of whoever may bring this answer; or what is missing. */
const headersFor = (
  role: WantedRole,
  { signedIn }: ApiOperation,
  authorizations: readonly string[],
): SentRequest['headers'][] | string => {
  const accounts = authorizations.map((authorization) => ({ authorization }));
  if (role === 'anonymous') return [{}];
  if (role === 'any') return signedIn === 'must' && accounts.length > 0 ? accounts : [{}];
  return accounts.length > 0 ? accounts : 'it wants somebody who is signed in: give --token';
};

const createPace = (perSecond: number, signal: AbortSignal): (() => Promise<void>) => {
  let nextMs = 0;
  return async () => {
    const now = performance.now();
    const waitMs = nextMs - now;
    nextMs = Math.max(now, nextMs) + 1000 / perSecond;
    if (waitMs > 0) await pause(waitMs, signal);
  };
};
