import { z } from 'zod';
import { parseRulePath } from '../compare/rule-path.ts';
import { parseDurationMs } from '../config.ts';

/** The headers that are compared where a slice file does not say. */
export const defaultComparedHeaders = [
  'content-type',
  'etag',
  'location',
  'cache-control',
  'link',
  'retry-after',
  'vary',
  'www-authenticate',
];

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'must be the name of a header, such as etag')
  .transform((name) => name.toLowerCase());

const pathText = (allowed: readonly string[]) =>
  z
    .string()
    .max(500)
    .superRefine((text, context) => {
      try {
        const path = parseRulePath(text);
        if (allowed.includes(path.in)) return;
        context.addIssue({
          code: 'custom',
          message: `must be a path into a body or an event, such as $.items, found "${text}"`,
        });
      } catch (error) {
        context.addIssue({ code: 'custom', message: `must be a path: ${(error as Error).message}` });
      }
    });

const jsonPath = pathText(['body', 'event']);
const anyPath = pathText(['body', 'event', 'header', 'status', 'whole-body']);

const endpointText = z
  .string()
  .max(300)
  .regex(/^[A-Z]+ \/\S*$/, 'must be a method and a path as in `routes`, such as "GET /api/products/:id"');

const routesText = z
  .string()
  .max(300)
  .regex(
    /^[A-Z]+(,[A-Z]+)* (\/\S*|\*)$/,
    'must be a method, or several with commas between, and a path as in `routes` or *, such as "POST,PUT *"',
  );

const ignore = z.strictObject(
  {
    path: anyPath.describe(
      'What may differ: `$.items[*].etag` in the body, `header etag`, `status`, `body`, or `event product.changed $.at`. All that it holds is ignored with it.',
    ),
    route: routesText
      .optional()
      .describe(
        'Only in answers of this route, or of several: `POST,PUT,PATCH *` are those of every path. Default: of all.',
      ),
    reason: z
      .string()
      .trim()
      .min(1, 'must say why the two sides may differ here')
      .max(500)
      .describe('Why the two sides may differ there.'),
    by: z.string().trim().min(1, 'must say who decided it').max(100).describe('Who decided it.'),
  },
  { error: 'must be { path, reason, by }: what may differ, why, and who decided it' },
);

const atMost = 200;

export const compareSection = z.strictObject({
  headers: z
    .array(headerName)
    .max(50)
    .default([...defaultComparedHeaders])
    .describe(`Response headers that are compared. Default: ${defaultComparedHeaders.join(', ')}.`),
  ignore: z
    .array(ignore)
    .max(atMost)
    .default([])
    .describe('What may differ, with a reason and an author; each difference that is hidden so is counted.'),
  unordered: z
    .array(jsonPath)
    .max(atMost)
    .default([])
    .describe('Arrays whose order means nothing, such as `$.tags`. Default: none, order is compared.'),
  keyed: z
    .record(jsonPath, z.string().min(1).max(100))
    .default({})
    .describe(
      'Arrays whose elements are paired by a member, such as `"$.items": id`, so that one element missing is one difference. ' +
        'Their order is still compared, unless the path is in `unordered` too.',
    ),
  identities: z
    .array(jsonPath)
    .max(atMost)
    .default([])
    .describe(
      'Where answers to what creates something carry an id that each side makes for itself, such as `$.id`; what is paired ' +
        'there counts as equal wherever it appears later. Default: none.',
    ),
  times: z
    .strictObject({
      tolerance: z
        .string()
        .refine((text) => parseDurationMs(text) !== undefined, 'must be a duration such as 5s or 100ms')
        .default('0ms')
        .describe('By how much they may differ. Default: 0ms, only their spelling may.'),
      paths: z.array(jsonPath).max(atMost).default([]).describe('Where they stand.'),
    })
    .prefault({})
    .describe('Values that are compared as instants: ISO 8601 text, or seconds or milliseconds since 1970.'),
  money: z
    .array(jsonPath)
    .max(atMost)
    .default([])
    .describe('Values that are compared as decimal numbers, whether text or number: "12.50" is 12.5 there.'),
  redact: z
    .array(jsonPath)
    .max(atMost)
    .default([])
    .describe('Values of bodies and events of which no example keeps more than their kind and length.'),
});

const share = z.number().min(0).max(1);

const sampling = z.strictObject({
  sample: share
    .default(1)
    .describe('Share of the requests that are compared, 0 to 1. Default: 1; a busy slice is given less.'),
  calibrate: share
    .default(0.05)
    .describe(
      'Share of the compared reads for which the monolith is asked a second time, so that what differs between its own answers is known. Default: 0.05.',
    ),
  writes: z
    .enum(['dry-run', 'off'])
    .default('dry-run')
    .describe('Whether writes are sent to a service that can do them without effect. Default: dry-run.'),
  routes: z
    .record(endpointText, share)
    .default({})
    .describe('The share of single routes, such as `"GET /api/products/:id": 0.5`. Default: `sample`.'),
});

export const shadowSection = z
  .union([z.literal('off'), sampling], {
    error: 'must be off, or { sample, calibrate, writes, routes } with shares from 0 to 1 and writes: dry-run | off',
  })
  .describe(
    'How live requests are sent to both sides and their answers compared, at the stages shadow and canary. Default: off.',
  );

export const shadowGate = z.strictObject({
  samples: z
    .int()
    .min(0)
    .max(10_000_000)
    .default(500)
    .describe('Comparisons that are wanted in all. 0: the gate asks nothing. Default: 500.'),
  mismatches: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('Comparisons that may differ without anybody having accepted their group. Default: 0.'),
  perCell: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(20)
    .describe(
      'Comparisons without a difference that are wanted of each route, and of each status class and role seen of it. Default: 20.',
    ),
});

/** What may differ between the two sides, and how the rest is compared; a slice file's `compare`. */
export type SliceCompare = {
  /** Lower case. */
  headers: string[];
  ignore: IgnoreRule[];
  unordered: string[];
  /** Path of an array → the member that names its elements. */
  keyed: Record<string, string>;
  identities: string[];
  times: { toleranceMs: number; paths: string[] };
  money: string[];
  redact: string[];
};

/** `route`: "METHOD /path", "METHOD,METHOD *"; null: answers of every route. */
export type IgnoreRule = { path: string; route: string | null; reason: string; by: string };

/** How much is compared live; a slice file's `shadow`. Shares are 0 to 1. */
export type SliceShadow = {
  sample: number;
  calibrate: number;
  writes: 'dry-run' | 'off';
  /** "GET /api/products/:id" → share. */
  routes: Record<string, number>;
};

/** What the comparison must have shown before the service answers anybody. */
export type ShadowBounds = { samples: number; mismatches: number; perCell: number };

export const readCompare = ({ ignore, times, ...rest }: z.output<typeof compareSection>): SliceCompare => ({
  ...rest,
  ignore: ignore.map(({ path, route, reason, by }) => ({ path, route: route ?? null, reason, by })),
  times: { toleranceMs: parseDurationMs(times.tolerance)!, paths: times.paths },
});

/** What a slice file that says nothing of `compare` asks for. */
export const defaultCompare: SliceCompare = readCompare(compareSection.parse({}));

/** null: off. */
export const readShadow = (shadow: z.output<typeof shadowSection> | undefined): SliceShadow | null =>
  shadow === undefined || shadow === 'off' ? null : shadow;

/** null: the gate asks nothing, because nothing is compared or no sample is wanted. */
export const readShadowBounds = (
  shadow: SliceShadow | null,
  gate: z.output<typeof shadowGate> | undefined,
): ShadowBounds | null => {
  const bounds = gate ?? shadowGate.parse({});
  return shadow === null || bounds.samples === 0 ? null : bounds;
};
