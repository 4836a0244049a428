import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';

const methods = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type RouteMethod = (typeof methods)[number];

const sliceName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be 1 to 64 lower-case letters, digits and hyphens, starting with a letter');

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

const table = z.strictObject({
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
});

export const sliceFileSchema = z
  .strictObject({
    slice: sliceName.describe("The slice's name, the same as its folder's."),
    service: sliceName.describe('The name under which the instances of the service register in Consul.'),
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
  /** Whether the table stays the monolith's, and is copied for reading only. */
  reference: boolean;
};

/** One slice, as its `slice.yaml` describes it, with everything that may be left out filled in. */
export type Slice = {
  slice: string;
  service: string;
  routes: SliceRoute[];
  /** In order of preference: `jwt.<claim>`, `cookie.<name>`, `header.<name>`, `ip`. */
  stickyBy: string[];
  tables: SliceTable[];
};

/** One thing wrong with a slice file: where it stands and what was expected. */
export type SliceFileFault = { file: string; line: number; path: string; message: string };

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
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const faults = document.errors.map((error) => ({
      file,
      line: lines.linePos(error.pos[0]).line,
      path: 'YAML',
      message: error.message,
    }));
    return { slice: null, faults };
  }

  const lineOf = (path: readonly PropertyKey[]): number => {
    // A missing key has no place of its own: its parent's line is the nearest one to look at.
    for (let depth = path.length; depth >= 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: [number, number, number] } | undefined;
      if (node?.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };

  const parsed = sliceFileSchema.safeParse(document.toJS());
  if (!parsed.success) {
    const faults = parsed.error.issues.flatMap((issue) => {
      const unknown = issue.code === 'unrecognized_keys' ? issue.keys : null;
      const fault = (path: readonly PropertyKey[], message: string): SliceFileFault => ({
        file,
        line: lineOf(path),
        path: path.join('.') || 'slice file',
        message,
      });
      return unknown === null
        ? [fault(issue.path, issue.message)]
        : unknown.map((key) => fault([...issue.path, key], 'is not an option of a slice file'));
    });
    return { slice: null, faults };
  }
  const { slice, service, routes, stickyBy, tables } = parsed.data;
  return {
    slice: { slice, service, routes: routes.map(readRoute), stickyBy, tables: tables.map(readSliceTable) },
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

const readSliceTable = ({ source, target, key, columns, transform, reference }: z.infer<typeof table>): SliceTable => ({
  source,
  target: target ?? source,
  key: key ?? null,
  columns: columns ?? null,
  transform: transform ?? null,
  reference,
});
