import type { Duplex } from 'node:stream';

/** The head of an answer; header names and values in turn, in order and case. */
export type AnswerHead = { status: number; rawHeaders: readonly string[] };

/** What is sent on in place of an answer. */
export type FilteredAnswer = {
  rawHeaders: readonly string[];
  /**
   * What the body goes through on its way, one after the other; none: it stays as it is. Where its length may change, `rawHeaders` must not hold
   * Content-Length. Destroyed where the answer breaks off, ended where it is whole.
   */
  through: readonly Duplex[];
};

/**
 * Looks at the head of an answer when it has come and says what is sent on. Throws where it must not be sent; nothing has been
 * sent then.
 */
export type AnswerFilter = (head: AnswerHead) => FilteredAnswer;

/** Thrown by a filter, at the head or in the middle of the body: more than may be sent on. The instance is not to blame. */
export class AnswerTooLargeError extends Error {
  override name = 'AnswerTooLargeError';
  constructor(mostBytes: number) {
    super(`the answer is larger than ${mostBytes} bytes`);
  }
}

/** One filter that is all of them; the last of the list stands next to the upstream, the first next to the client. */
export const nested = (filters: readonly AnswerFilter[]): AnswerFilter | null => {
  const [outer, ...rest] = filters;
  if (outer === undefined) return null;
  const inner = nested(rest);
  if (inner === null) return outer;
  return (head) => {
    const near = inner(head);
    const far = outer({ status: head.status, rawHeaders: near.rawHeaders });
    return { rawHeaders: far.rawHeaders, through: [...near.through, ...far.through] };
  };
};
