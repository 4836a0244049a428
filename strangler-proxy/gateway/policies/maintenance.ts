import { z } from 'zod';
import { policyKind } from '../kind.ts';
import { type Policy, pass, type Refuse } from '../policy.ts';
import { span } from '../settings.ts';
import { admitsAddress, networks } from './ip.ts';

const schema = z
  .strictObject({
    on: z.boolean().default(true).describe('Default: true.'),
    slices: z
      .array(z.string())
      .min(1)
      .max(200)
      .optional()
      .describe('Only requests of these slices. Default: all on the routes on which the policy stands.'),
    access: z.enum(['all', 'writes']).default('all').describe('`writes`: GET, HEAD and OPTIONS pass. Default: all.'),
    retryAfter: span({ min: 1_000, max: 7 * 86_400_000 })
      .default(60_000)
      .describe('Default: 1m.'),
    detail: z
      .string()
      .min(1)
      .max(500)
      .default('This is being worked on; try again later.')
      .describe('What clients are told.'),
    bypass: networks
      .default([])
      .describe('Networks whose clients pass; operators (`X-Strangler-Operator`) always do. Default: none.'),
  })
  .describe('Answers 503 while something is being worked on; operators pass.');

const reads = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A closed door with a notice on it. */
export const maintenance = policyKind({
  schema,
  create(name, { on, slices, access, retryAfter, detail, bypass }, { sliceOf }): Policy {
    const admits = admitsAddress({ allow: bypass, deny: [] });
    const closed = slices === undefined ? null : new Set(slices);
    const refusal: Refuse = {
      kind: 'refuse',
      status: 503,
      title: 'Service unavailable',
      detail,
      headers: { 'Retry-After': `${Math.ceil(retryAfter / 1000)}` },
    };
    return {
      name,
      check({ facts: { method, path, operator, clientAddress } }) {
        if (!on || operator || (access === 'writes' && reads.has(method)) || admits(clientAddress)) return pass;
        if (closed === null) return refusal;
        const slice = sliceOf(method, path);
        return slice !== null && closed.has(slice) ? refusal : pass;
      },
    };
  },
});
