import express, { type RequestHandler } from 'express';
import { problems } from './problem.ts';

/** The largest JSON body that is read. */
export const MAX_JSON_BODY_BYTES = 100 * 1024;

/**
 * Middleware that reads a JSON body of one of these media types into `request.body`. Answers 415 for another, 413 for a body over
 * `MAX_JSON_BODY_BYTES`, 400 for text that is not JSON. A request without a body goes through with `body` undefined:
 * the schema says what is missing.
 */
export function jsonBody({ types = ['application/json'] }: { types?: string[] } = {}): RequestHandler {
  const parse = express.json({ type: types, limit: MAX_JSON_BODY_BYTES, strict: false });
  return (request, response, next) => {
    if (request.headers['content-length'] === '0') {
      next();
      return;
    }
    // request.is gives null, not false, when there is no body at all.
    if (request.is(types) === false) throw problems.unsupportedMediaType(`The body must be ${types.join(' or ')}.`);
    parse(request, response, next);
  };
}
