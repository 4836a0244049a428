import { z } from 'zod';
import { parseDurationMs } from '../config.ts';
import { percentage } from './flag-document.ts';
import {
  compareSection,
  readCompare,
  readShadow,
  readShadowBounds,
  type ShadowBounds,
  type SliceCompare,
  type SliceShadow,
  shadowGate,
  shadowSection,
} from './slice-compare.ts';
import { readYaml, type YamlFault } from './yaml-file.ts';

const methods = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type RouteMethod = (typeof methods)[number];

const nameText = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be 1 to 64 lower-case letters, digits and hyphens, starting with a letter');

/** Ends the name of the pipe that brings a slice's rows back to the monolith. */
export const reverseSuffix = '-reverse';

const longestSliceName = 64 - reverseSuffix.length;

const sliceName = nameText
  .max(longestSliceName, `must be ${longestSliceName} characters at most: ${reverseSuffix} is put after it`)
  .regex(
    new RegExp(`^(?!.*${reverseSuffix}$)`),
    `must not end in ${reverseSuffix}, which is the name of the way back of the slice before it; choose another name`,
  );

const routeText = z
  .string()
  .regex(
    new RegExp(`^(${methods.join('|')}) /[^\\s?#]*$`),
    `must be a method (${methods.join(', ')}), one space and a path, such as "GET /api/products/:id"`,
  )
  .refine((text) => !/\*./.test(text.slice(text.indexOf('/'))), 'may have * only as its last character')
  .describe('Method and path. `:name` stands for one segment, a last `*` for all that follows.');

const access = z
  .enum(['read', 'write'])
  .describe('Whether the route changes anything. Without it GET, HEAD and OPTIONS read and every other method writes.');

const route = z.union([routeText, z.strictObject({ route: routeText, access })], {
  error: `must be "METHOD /path" or { route: "METHOD /path", access: read | write }, with a method of ${methods.join(', ')}`,
});

const stickyKey = z
  .string()
  .regex(
    /^(ip|(jwt|cookie|header)\.[A-Za-z0-9_-]{1,64})$/,
    'must be jwt.<claim>, cookie.<name>, header.<name> or ip, such as "jwt.sub"',
  );

const sqlName = z.string().min(1).max(64, 'must be the name of a table or column: at most 64 characters');

const columnSource = z.union([sqlName, z.strictObject({ sql: z.string().min(1).max(10_000) })], {
  error: 'must be the name of a source column, or { sql: "an expression over source columns" }',
});

const tableShape = z.strictObject({
  source: sqlName.describe("The table in the monolith's database."),
  target: sqlName.optional().describe("The table in the service's database. Default: the same name."),
  key: z
    .array(sqlName)
    .min(1)
    .max(16)
    .optional()
    .describe("The source's primary key columns, in order. Default: its primary key; anything else is refused."),
  columns: z
    .record(sqlName, columnSource)
    .optional()
    .describe(
      'Target column to source column, or to { sql: an expression over source columns }. Without it each target column is ' +
        'given the source column of its name.',
    ),
  transform: z
    .string()
    .regex(/^\.\/[^\0]*\.(ts|mjs|js)$/, 'must be a path beside the slice file, such as "./product-row.ts"')
    .optional()
    .describe('A module beside this file that computes what an SQL expression cannot, and its inverse.'),
  reference: z
    .boolean()
    .default(false)
    .describe(
      "true: the table stays the monolith's for good and is copied only so that the service can read it; a cut-over neither " +
        'fences it nor copies it back. Default: false, it moves with the slice.',
    ),
  until: sliceName
    .optional()
    .describe(
      'Of a reference table that moves with another slice: that slice. When it is complete there is nothing left to copy from, and the ' +
        'copy stays as it is; the service must learn of changes otherwise by then. Without it that slice cannot be completed.',
    ),
});

const table = tableShape.refine(({ reference, until }) => reference || until === undefined, {
  path: ['until'],
  message:
    'must stand beside `reference: true`: a table that moves with this slice is not copied until another has moved',
});

const duration = z.string().refine((text) => (parseDurationMs(text) ?? 0) >= 1_000, {
  message: 'must be a duration of at least one second, such as 30s or 5m',
});

const canaryGate = z.strictObject({
  steps: z
    .array(percentage)
    .min(1)
    .max(20)
    .refine(
      (steps) => steps.at(-1) === 100 && steps.every((step, at) => step > (steps[at - 1] ?? 0)),
      'must be percentages above 0, each larger than the one before, the last of them 100',
    )
    .default([1, 5, 25, 50, 100])
    .describe('Percentages of users whose reads the service answers, one after the other. Default: 1, 5, 25, 50, 100.'),
  bake: duration.default('30s').describe('How long each percentage must do well before the next. Default: 30s.'),
  maxErrorRate: z
    .number()
    .min(0)
    .max(1)
    .default(0.001)
    .describe(
      "The share of the service's reads that may fail. One that fails more, and more than the monolith in the same time, steps back. " +
        'Default: 0.001.',
    ),
  maxP99Ratio: z
    .number()
    .min(1)
    .max(100)
    .default(1.5)
    .describe(
      "How many times the monolith's 99th percentile of latency the service's may be, in the same time. Default: 1.5.",
    ),
  p99Slack: z
    .string()
    .refine((text) => parseDurationMs(text) !== undefined, 'must be a duration such as 10ms')
    .default('10ms')
    .describe(
      "By how much the service's 99th percentile may exceed the monolith's whatever the ratio: between 2 ms and 4 ms nobody can tell. " +
        'Default: 10ms.',
    ),
  maxMismatchRate: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      'The share of the compared reads that the service may answer otherwise than the monolith; one that has more steps back. ' +
        'Default: 0.001 where `shadow` compares, else none.',
    ),
  minSamples: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(200)
    .describe('Reads of each side without which no percentage is found good, however long it has baked. Default: 200.'),
});

const gates = z.strictObject({
  shadow: shadowGate
    .optional()
    .describe(
      'What the comparison of live answers must have shown before a canary begins. Without `shadow` it asks nothing.',
    ),
  canary: canaryGate.prefault({}).describe('When the canary steps up by itself, and when it steps back.'),
});

export const sliceFileSchema = z
  .strictObject({
    slice: sliceName.describe("The slice's name, the same as its folder's."),
    service: nameText.describe('The name under which the instances of the service register in Consul.'),
    routes: z.array(route).min(1).max(500).describe('The routes that move, as the monolith serves them.'),
    stickyBy: z
      .array(stickyKey)
      .min(1)
      .max(8)
      .default(['jwt.sub', 'cookie.strangler_sid'])
      .describe(
        'What identifies a user, first that is present wins: a user stays on one side while a percentage stands, and raising it ' +
          'moves nobody back. Where none is present the proxy sets the cookie strangler_sid. Default: jwt.sub, cookie.strangler_sid.',
      ),
    tables: z
      .array(table)
      .max(200)
      .default([])
      .superRefine((tables, context) => {
        for (const end of ['source', 'target'] as const) {
          const names = tables.map((one) => (end === 'target' ? (one.target ?? one.source) : one.source));
          names.forEach((name, index) => {
            if (names.indexOf(name) === index) return;
            context.addIssue({
              code: 'custom',
              path: [index, end],
              message: `must name each ${end} table once, found ${name} again`,
            });
          });
        }
      })
      .describe("The tables that move, each with how a row of the monolith's becomes a row of the service's."),
    after: z
      .array(sliceName)
      .max(50)
      .default([])
      .describe(
        'Slices whose writes must be their services’ before those of this one move, and as long as they are: its service asks theirs. ' +
          'Default: none.',
      ),
    openapi: z
      .string()
      .max(500)
      .regex(/^[^\0]*\.(ya?ml|json)$/, 'must be the path of a YAML or JSON file, from the folder of this file')
      .optional()
      .describe(
        'The OpenAPI description of these routes, from the folder of this file. It tells which answers a comparison must have ' +
          'seen, and how requests for them are made. Default: none; each route must have succeeded.',
      ),
    shadow: shadowSection.optional(),
    compare: compareSection
      .prefault({})
      .describe('How answers of the two sides are compared, live and in tests, and what may differ.'),
    gates: gates.prefault({}).describe('Bounds that measured figures must keep before a stage or a step is taken.'),
  })
  .describe('All that a team writes to strangle one capability of its monolith.');

export type SliceRoute = { method: RouteMethod; path: string; access: 'read' | 'write' };

/** How rows of one table of the monolith become rows of one table of the service, as the file says it. */
export type SliceTable = {
  source: string;
  target: string;
  /** null: the source's primary key. */
  key: string[] | null;
  /** Target column → source column or SQL expression; null: each target column takes the source column of its name. */
  columns: Record<string, string | { sql: string }> | null;
  /** Path of the module, relative to the slice file's folder; null: none. */
  transform: string | null;
  /** Whether the table does not move with this slice, and is copied for reading only. */
  reference: boolean;
  /** With whose completion the copying ends; null: never. */
  until: string | null;
};

/** When a canary goes on to its next percentage, and when it goes back. */
export type CanaryBounds = {
  /** Growing, the last of them 100. */
  steps: readonly number[];
  bakeMs: number;
  /** Share of reads, 0 to 1. */
  maxErrorRate: number;
  maxP99Ratio: number;
  p99SlackMs: number;
  minSamples: number;
  /** Share of compared reads, 0 to 1; null: not bounded. */
  maxMismatchRate: number | null;
};

/** One slice, as its `slice.yaml` describes it, with everything that may be left out filled in. */
export type Slice = {
  slice: string;
  service: string;
  routes: SliceRoute[];
  /** In order of preference: `jwt.<claim>`, `cookie.<name>`, `header.<name>`, `ip`. */
  stickyBy: string[];
  tables: SliceTable[];
  /** Names of slices whose writes move before, and back after, those of this one. */
  after: string[];
  /** Path of the OpenAPI description, from the slice file's folder; null: none. */
  openapi: string | null;
  /** null: nothing is compared live. */
  shadow: SliceShadow | null;
  compare: SliceCompare;
  /** `shadow: null`: the canary asks for no comparison before it. */
  gates: { canary: CanaryBounds; shadow: ShadowBounds | null };
};

/** What a slice file that says nothing of `gates` asks for. */
export const defaultCanaryBounds: CanaryBounds = readCanaryBounds(canaryGate.parse({}), null);

/** One thing wrong with a slice file: where it stands and what was expected. */
export type SliceFileFault = YamlFault;

/** One or more slice files are unusable; the message holds one line a fault, `file:line path: what was expected`. */
export class SliceFileError extends Error {
  override name = 'SliceFileError';
  readonly faults: readonly SliceFileFault[];

  constructor(faults: readonly SliceFileFault[]) {
    super(faults.map((fault) => `${fault.file}:${fault.line} ${fault.path}: ${fault.message}`).join('\n'));
    this.faults = faults;
  }
}

export type SliceFileResult = { slice: Slice; faults: [] } | { slice: null; faults: SliceFileFault[] };

/** Reads one slice file from its YAML text and tells all its faults at once; `file` is named in each of them. */
export const parseSliceFile = (text: string, file: string): SliceFileResult => {
  const { value, faults } = readYaml(sliceFileSchema, text, { file, what: 'slice file' });
  if (value === null) return { slice: null, faults };
  const { slice, service, routes, stickyBy, tables, compare, gates } = value;
  const shadow = readShadow(value.shadow);
  return {
    slice: {
      slice,
      service,
      routes: routes.map(readRoute),
      stickyBy,
      tables: tables.map(readSliceTable),
      after: value.after,
      openapi: value.openapi ?? null,
      shadow,
      compare: readCompare(compare),
      gates: { canary: readCanaryBounds(gates.canary, shadow), shadow: readShadowBounds(shadow, gates.shadow) },
    },
    faults: [],
  };
};

/** The JSON Schema of a slice file, for editors. */
export const sliceFileJsonSchema = (): object => ({
  title: 'slice.yaml',
  ...z.toJSONSchema(sliceFileSchema, { io: 'input' }),
});

const readRoute = (route: string | { route: string; access: 'read' | 'write' }): SliceRoute => {
  const text = typeof route === 'string' ? route : route.route;
  const [method, path] = text.split(' ') as [RouteMethod, string];
  const usual = method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write';
  return { method, path, access: typeof route === 'string' ? usual : route.access };
};

/** Where reads are compared and nothing is said of a bound. */
const usualMismatchRate = 0.001;

function readCanaryBounds(
  { bake, p99Slack, maxMismatchRate, ...bounds }: z.infer<typeof canaryGate>,
  shadow: SliceShadow | null,
): CanaryBounds {
  return {
    ...bounds,
    bakeMs: parseDurationMs(bake)!,
    p99SlackMs: parseDurationMs(p99Slack)!,
    maxMismatchRate: maxMismatchRate ?? (shadow === null ? null : usualMismatchRate),
  };
}

const readSliceTable = ({ source, target, key, columns, transform, ...rest }: z.infer<typeof table>): SliceTable => ({
  source,
  target: target ?? source,
  key: key ?? null,
  columns: columns ?? null,
  transform: transform ?? null,
  reference: rest.reference,
  until: rest.until ?? null,
});
