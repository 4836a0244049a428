import type { IncomingHttpHeaders } from 'node:http';

/** A request on its way to the routes, as a fault may change it. */
export type FaultyRequest = {
  readonly method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  /** The JSON body; undefined where there is none, or it cannot be read. */
  body: unknown;
};

/** An answer on its way back. */
export type FaultyAnswer = {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string | number | readonly string[]>;
  text: string;
};

export type FaultyStatement = { sql: string; values: unknown[] };

/** A way in which a service can be wrong. What it keeps between requests is made by `plant`, anew each time. */
export type Fault = {
  /** What somebody would write into a bug report. */
  says: string;
  /** Where a comparison must see it: part of the path of a difference, or `row` or `latency`. */
  seenAt: RegExp;
  plant(): FaultHooks;
};

export type FaultHooks = {
  request?(request: FaultyRequest): void;
  answer?(answer: FaultyAnswer, request: FaultyRequest): void;
  /** What the database is asked in its place; several are run in order, and the last one's result is given. */
  statement?(statement: FaultyStatement): readonly FaultyStatement[];
  /** How long the answer waits. */
  delayMs?(request: FaultyRequest): number;
};
