import type { Transform } from 'node:stream';
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib';
import { bytes } from '@strangler/platform/config.ts';
import { z } from 'zod';
import { policyKind } from '../kind.ts';
import type { Policy } from '../policy.ts';
import { compressedHead } from './compressed-head.ts';
import { type Coding, codings, negotiate } from './negotiate.ts';

const compressibleTypes = [
  'text/*',
  'application/json',
  'application/javascript',
  'application/xml',
  'application/wasm',
  'application/x-ndjson',
  'image/svg+xml',
  '*+json',
  '*+xml',
];

export const compressSettings = z
  .strictObject({
    codings: z
      .array(z.enum(codings))
      .min(1)
      .default([...codings])
      .describe('What is offered; the first is taken where a client likes several alike. Default: br, zstd, gzip.'),
    min: bytes({ min: 0 }).default(1024).describe('A smaller body stays as it is. Default: 1KiB.'),
    types: z
      .array(
        z
          .string()
          .regex(
            /^(?:[a-z0-9.+-]+\/(?:\*|[a-z0-9.+-]+)|\*\+[a-z0-9.-]+)$/,
            'must be a type such as text/*, application/json or *+json',
          ),
      )
      .default(compressibleTypes)
      .describe('Content types that are compressed. Default: text, JSON, XML, JavaScript, SVG and Wasm.'),
    atOnce: z
      .int()
      .min(1)
      .max(10_000)
      .default(64)
      .describe('Bodies compressed at a time in one worker; further ones stay as they are. Default: 64.'),
  })
  .describe('Compresses answers by what the client accepts (RFC 9110 §12.5.3).');

/** Small windows: an answer of the web is rarely larger, and a thousand of them must fit in memory. */
const windowBits = 18;

function compressor(coding: Coding, streamed: boolean): Transform {
  switch (coding) {
    case 'br':
      return createBrotliCompress({
        // What has come of a body of unknown length goes out at once, as it would uncompressed.
        flush: streamed ? constants.BROTLI_OPERATION_FLUSH : constants.BROTLI_OPERATION_PROCESS,
        params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_LGWIN]: windowBits },
      });
    case 'zstd':
      return createZstdCompress({
        flush: streamed ? constants.ZSTD_e_flush : constants.ZSTD_e_continue,
        params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_windowLog]: windowBits },
      });
    case 'gzip':
      return createGzip({ flush: streamed ? constants.Z_SYNC_FLUSH : constants.Z_NO_FLUSH });
  }
}

export const compress = policyKind({
  schema: compressSettings,
  create(name, settings, { metrics }): Policy {
    let underWay = 0;
    return {
      name,
      intercept({ request }) {
        const { headers, method } = request.facts;
        const accepts = headers['accept-encoding'];
        const asked = {
          method,
          range: headers.range !== undefined,
          noTransform: /no-transform/i.test(`${headers['cache-control'] ?? ''}`),
          coding: negotiate(typeof accepts === 'string' ? accepts : undefined, settings.codings),
        };
        return {
          kind: 'forward',
          filter(head) {
            const full = underWay >= settings.atOnce;
            const found = compressedHead(head, full ? { ...asked, coding: null } : asked, {
              types: settings.types,
              minBytes: settings.min,
            });
            if (full && asked.coding !== null) metrics.degraded(name, 'too-many-bodies');
            if (found.body === 'as it is') return { rawHeaders: found.rawHeaders, through: [] };
            const through = compressor(asked.coding!, found.streamed);
            underWay += 1;
            through.once('close', () => {
              underWay -= 1;
            });
            return { rawHeaders: found.rawHeaders, through: [through] };
          },
        };
      },
    };
  },
});
