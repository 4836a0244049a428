import { z } from 'zod';
import { policyKind } from '../kind.ts';
import type { Policy } from '../policy.ts';
import { span } from '../settings.ts';

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, 'must be the name of a header');
const headerValue = z
  .string()
  .regex(/^[\x20-\x7e]{0,4096}$/, 'must be at most 4096 visible ASCII characters and spaces');

const schema = z
  .strictObject({
    hsts: z
      .union([
        z.literal(false),
        z.strictObject({
          maxAge: span({ max: 4 * 365 * 86_400_000 })
            .default(180 * 86_400_000)
            .describe('Default: 180 days.'),
          includeSubDomains: z.boolean().default(false).describe('Default: false.'),
          preload: z.boolean().default(false).describe('Default: false.'),
        }),
      ])
      .prefault({})
      .describe('Strict-Transport-Security, on answers over TLS only (RFC 6797); `false`: not. Default: 180 days.'),
    noSniff: z.boolean().default(true).describe('X-Content-Type-Options: nosniff. Default: true.'),
    frameAncestors: z
      .union([z.literal(false), headerValue])
      .default("'none'")
      .describe("Content-Security-Policy: frame-ancestors …; `false`: not. Default: 'none'."),
    referrerPolicy: z
      .union([z.literal(false), headerValue])
      .default('strict-origin-when-cross-origin')
      .describe('Referrer-Policy; `false`: not. Default: strict-origin-when-cross-origin.'),
    set: z.record(headerName, headerValue).default({}).describe('Further headers, names and values. Default: none.'),
    remove: z
      .array(headerName)
      .max(100)
      .default(['Server', 'X-Powered-By'])
      .describe('Headers that no answer may have. Default: Server, X-Powered-By.'),
  })
  .describe('Puts headers for browsers on every answer that does not have them.');

/** Headers by which browsers protect a page. What an upstream says itself stands. */
export const securityHeaders = policyKind({
  schema,
  create(name, { hsts, noSniff, frameAncestors, referrerPolicy, set, remove }): Policy {
    const usual: [name: string, value: string][] = Object.entries(set);
    if (noSniff) usual.push(['X-Content-Type-Options', 'nosniff']);
    if (referrerPolicy !== false) usual.push(['Referrer-Policy', referrerPolicy]);
    const overTls: [name: string, value: string] | null =
      hsts === false
        ? null
        : [
            'Strict-Transport-Security',
            `max-age=${Math.floor(hsts.maxAge / 1000)}${hsts.includeSubDomains ? '; includeSubDomains' : ''}${hsts.preload ? '; preload' : ''}`,
          ];
    const removed = new Set(remove.map((one) => one.toLowerCase()));
    return {
      name,
      answering({ outgoing }, { rawHeaders }) {
        const headers: string[] = [];
        const present = new Set<string>();
        let framed = false;
        for (let at = 0; at < rawHeaders.length; at += 2) {
          const key = rawHeaders[at]!.toLowerCase();
          if (removed.has(key)) continue;
          present.add(key);
          if (key === 'content-security-policy' && /(?:^|[;,])\s*frame-ancestors\b/i.test(rawHeaders[at + 1]!))
            framed = true;
          headers.push(rawHeaders[at]!, rawHeaders[at + 1]!);
        }
        const add = ([key, value]: [name: string, value: string]): void => {
          if (!present.has(key.toLowerCase())) headers.push(key, value);
        };
        for (const one of usual) add(one);
        // Two policies hold both (CSP 3, section 8.1), so one without the directive is added to.
        if (frameAncestors !== false && !framed) {
          headers.push('Content-Security-Policy', `frame-ancestors ${frameAncestors}`);
        }
        if (overTls !== null && outgoing.headers['X-Forwarded-Proto'] === 'https') add(overTls);
        return headers;
      },
    };
  },
});
