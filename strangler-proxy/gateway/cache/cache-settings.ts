import { bytes, durationMs } from '@strangler/platform/config.ts';
import { z } from 'zod';
import { changeNamePattern } from './changes.ts';
import { longestKeptMs } from './open-cache.ts';

const time = () => durationMs({ min: 0, max: longestKeptMs });

/** What the gateway file says of a cache. */
export const cacheSettings = z
  .strictObject({
    fresh: time()
      .optional()
      .describe(
        'For how long an answer is fresh that does not say so itself. Default: such an answer is not kept, or asked about each time.',
      ),
    staleWhileRevalidate: time()
      .optional()
      .describe(
        'For how long after that it is still given while it is asked about, where it does not say so itself. Default: not at all.',
      ),
    staleIfError: time()
      .optional()
      .describe(
        'For how long after that it is still given where the upstream fails, where it does not say so itself. Default: not at all.',
      ),
    keep: time().default(3_600_000).describe('No answer is kept longer than this. Default: 1h, at most 24h.'),
    maxBody: bytes({ min: 0, max: 8 * 1024 ** 2 })
      .default(256 * 1024)
      .describe('A larger body is not kept. Default: 256kB.'),
    wait: durationMs({ min: 0, max: 60_000 })
      .default(3_000)
      .describe('How long a request waits for another one that asks the same, before it asks by itself. Default: 3s.'),
    authorized: z
      .boolean()
      .default(false)
      .describe(
        'Whether requests with Authorization have part in it. Of their answers only those are kept and given that say `public`, ' +
          '`must-revalidate` or `s-maxage`. Default: false.',
      ),
    cookies: z
      .enum(['bypass', 'ignore'])
      .default('bypass')
      .describe(
        'Whether a request with cookies of the application passes the cache by, or its cookies make no difference. Default: bypass.',
      ),
    changes: z
      .array(z.string().regex(changeNamePattern, 'must be <slice>.<table or aggregate>, such as catalog.products'))
      .max(50)
      .default([])
      .describe(
        'Tables and aggregates that the answers stand on: a message of RabbitMQ about one makes them untrue. Default: none.',
      ),
  })
  .describe('Answers with what earlier requests were answered (RFC 9111), kept in Redis.');

export type CacheSettings = z.infer<typeof cacheSettings>;
