import { Transform } from 'node:stream';
import { z } from 'zod';
import { type AnswerFilter, AnswerTooLargeError } from '../../forward/answer-filter.ts';
import { policyKind } from '../kind.ts';
import type { Pass, Policy, Refuse } from '../policy.ts';
import { byteCount } from '../settings.ts';

const schema = z
  .strictObject({
    request: byteCount({ min: 0 })
      .optional()
      .describe("Most that a request's body may have, declared or counted. Default: `MAX_BODY`."),
    answer: byteCount({ min: 0 })
      .optional()
      .describe(
        "Most that an answer's body may have: 502 where its length is declared, else it is broken off. Default: any.",
      ),
  })
  .describe('Bounds bodies: of requests, 413; of answers, 502.');

/** Sizes of bodies, as they are sent: encoded, if they are. */
export const size = policyKind({
  schema,
  create(name, { request: mostOfRequest, answer: mostOfAnswer }): Policy {
    if (mostOfRequest === undefined && mostOfAnswer === undefined) {
      throw new Error('expected `request` or `answer`, found neither; say what is bounded');
    }
    const policy: Policy = { name };
    if (mostOfRequest !== undefined) {
      const bounded: Pass = { kind: 'pass', maxBodyBytes: mostOfRequest };
      const refusal: Refuse = {
        kind: 'refuse',
        status: 413,
        title: 'Content too large',
        detail: `Expected a body of at most ${mostOfRequest} bytes.`,
        headers: {},
      };
      policy.check = ({ outgoing: { body } }) =>
        body.kind === 'sized' && body.bytes > mostOfRequest ? refusal : bounded;
    }
    if (mostOfAnswer !== undefined) {
      policy.intercept = ({ req }) => ({ kind: 'forward', filter: bound(mostOfAnswer, req.method === 'HEAD') });
    }
    return policy;
  },
});

/** Lets an answer through up to so many bytes. */
const bound =
  (most: number, isHead: boolean): AnswerFilter =>
  ({ rawHeaders }) => {
    const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-length');
    // The parser lets no more through than what is declared.
    if (at !== -1 || isHead) {
      if (!isHead && Number(rawHeaders[at + 1]) > most) throw new AnswerTooLargeError(most);
      return { rawHeaders, through: [] };
    }
    let seen = 0;
    const counted = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        seen += chunk.length;
        if (seen > most) done(new AnswerTooLargeError(most));
        else done(null, chunk);
      },
    });
    return { rawHeaders, through: [counted] };
  };
