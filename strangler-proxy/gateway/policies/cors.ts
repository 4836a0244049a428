import { z } from 'zod';
import { policyKind } from '../kind.ts';
import { type Policy, type PolicyRequest, pass, type Refuse } from '../policy.ts';
import { span } from '../settings.ts';

const token = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, 'must be the name of a header or method');
const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text;

const schema = z
  .strictObject({
    origins: z
      .array(
        z
          .string()
          .refine(
            (text) => text === '*' || isOrigin(text),
            'must be an origin such as https://shop.example, without a slash at its end, or "*"',
          ),
      )
      .min(1)
      .max(200)
      .describe("Whose pages may read answers, to the letter; `*` alone: everybody's, without credentials."),
    methods: z
      .array(token)
      .max(100)
      .default(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'])
      .describe('Methods that they may use. Default: GET, HEAD, POST, PUT, PATCH, DELETE.'),
    headers: z
      .array(token)
      .max(100)
      .default(['content-type', 'authorization'])
      .describe('Headers that they may send. Default: content-type, authorization.'),
    expose: z
      .array(token)
      .max(100)
      .default([])
      .describe('Headers of answers that they may read beside the usual ones. Default: none.'),
    credentials: z.boolean().default(false).describe('Whether cookies may come along. Default: false.'),
    maxAge: span({ max: 86_400_000 }).default(600_000).describe('How long a browser may remember it. Default: 10m.'),
  })
  .describe(
    "Answers browsers' preflights, and says whose pages may read answers; what an upstream says of it is dropped.",
  );

const belongsToCors = /^access-control-/i;

/** Cross-origin requests of browsers, by the Fetch standard; the list decides, and nothing is reflected that is not on it. */
export const cors = policyKind({
  schema,
  create(name, { origins, methods, headers, expose, credentials, maxAge }): Policy {
    const everybody = origins.includes('*');
    if (everybody && (credentials || origins.length > 1)) {
      throw new Error(
        'expected "*" alone and without credentials, found it beside other origins or with `credentials: true`; list the origins',
      );
    }
    const allowed = new Set(origins);
    const mayUse = new Set(methods.map((method) => method.toUpperCase()));
    const maySend = new Set(headers.map((header) => header.toLowerCase()));

    /** What every answer says to a page of this origin. */
    const granted = (origin: string | null): string[] => {
      const told: string[] = [];
      if (origin !== null && (everybody || allowed.has(origin))) {
        told.push('Access-Control-Allow-Origin', everybody ? '*' : origin);
        if (credentials) told.push('Access-Control-Allow-Credentials', 'true');
      }
      if (!everybody) told.push('Vary', 'Origin');
      return told;
    };
    const refuse = (detail: string): Refuse => ({
      kind: 'refuse',
      status: 403,
      title: 'Forbidden',
      detail,
      headers: {},
    });

    const preflight = ({ facts: { headers: sent } }: PolicyRequest, origin: string): Refuse => {
      if (!everybody && !allowed.has(origin)) return refuse('Pages of this origin may not ask for this.');
      const method = single(sent['access-control-request-method']) ?? '';
      if (!mayUse.has(method.toUpperCase())) return refuse('Pages of other origins may not use this method.');
      const asked = (single(sent['access-control-request-headers']) ?? '').split(',');
      if (!asked.every((header) => header.trim() === '' || maySend.has(header.trim().toLowerCase()))) {
        return refuse('Pages of other origins may not send one of these headers.');
      }
      return {
        kind: 'refuse',
        status: 204,
        title: 'No content',
        detail: '',
        headers: {
          'Access-Control-Allow-Methods': methods.join(', '),
          ...(headers.length === 0 ? {} : { 'Access-Control-Allow-Headers': headers.join(', ') }),
          'Access-Control-Max-Age': `${Math.floor(maxAge / 1000)}`,
          Vary: 'Access-Control-Request-Method, Access-Control-Request-Headers',
        },
      };
    };

    const isPreflight = ({ facts }: PolicyRequest): boolean =>
      facts.method === 'OPTIONS' && single(facts.headers['access-control-request-method']) !== null;
    return {
      name,
      check(request) {
        const origin = single(request.facts.headers.origin);
        return origin !== null && isPreflight(request) ? preflight(request, origin) : pass;
      },
      answering(request, { rawHeaders }) {
        const kept: string[] = [];
        const own = isPreflight(request);
        for (let at = 0; at < rawHeaders.length; at += 2) {
          if (own || !belongsToCors.test(rawHeaders[at]!)) kept.push(rawHeaders[at]!, rawHeaders[at + 1]!);
        }
        kept.push(...granted(single(request.facts.headers.origin)));
        if (expose.length > 0 && !own) kept.push('Access-Control-Expose-Headers', expose.join(', '));
        return kept;
      },
    };
  },
});

const single = (value: string | string[] | undefined): string | null => (typeof value === 'string' ? value : null);
