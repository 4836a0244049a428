import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defaultCompare } from './slice-compare.ts';
import { readSliceDirectory } from './slice-directory.ts';
import { defaultCanaryBounds, parseSliceFile, sliceFileJsonSchema } from './slice-file.ts';

const good = `slice: catalog
service: catalog
routes:
  - GET /api/products
  - POST /api/products
  - { route: POST /api/products/search, access: read }
`;

describe('a slice file', () => {
  test('gives each route its access by its method unless the file says otherwise', () => {
    const { slice } = parseSliceFile(good, 'slice.yaml');
    expect(slice?.routes).toEqual([
      { method: 'GET', path: '/api/products', access: 'read' },
      { method: 'POST', path: '/api/products', access: 'write' },
      { method: 'POST', path: '/api/products/search', access: 'read' },
    ]);
  });

  test('without stickyBy keeps users apart by account, then by the proxy’s own cookie', () => {
    expect(parseSliceFile(good, 'slice.yaml').slice?.stickyBy).toEqual(['jwt.sub', 'cookie.strangler_sid']);
  });

  test('tells every fault at once, each with its line', () => {
    const text = `slice: Catalog\nroutes:\n  - GET /api/products\n  - FETCH /api/products\nstickyBy: [ moon ]\ncolour: blue\n`;
    const { faults } = parseSliceFile(text, 'slice.yaml');
    expect(faults.map(({ line, path }) => `${line} ${path}`)).toEqual([
      '1 slice',
      '1 service',
      '4 routes.1',
      '5 stickyBy.0',
      '6 colour',
    ]);
    expect(faults[2]?.message).toContain('such as "GET /api/products/:id"');
  });

  test('that is not YAML is refused with the line of the fault', () => {
    const { faults } = parseSliceFile('slice: catalog\nroutes: [\n  GET /a', 'slice.yaml');
    expect(faults[0]).toMatchObject({ file: 'slice.yaml', path: 'YAML' });
    expect(faults[0]?.line).toBeGreaterThan(1);
  });

  test.each(['GET api/products', 'GET  /api', 'GET /a b', 'GET /a?b=1', 'get /a', 'GET /*/x', ''])(
    'with the route %j is refused',
    (route) => {
      const { slice, faults } = parseSliceFile(
        `slice: a\nservice: a\nroutes: [ ${JSON.stringify(route)} ]`,
        'slice.yaml',
      );
      expect(slice).toBeNull();
      expect(faults[0]?.path).toBe('routes.0');
    },
  );

  test('says how rows of its tables become rows of the service, with defaults where it says nothing', () => {
    const text = `${good}tables:
  - source: products
    target: items
    key: [ id ]
    columns: { id: id, price_cents: { sql: "ROUND(price * 100)" } }
    transform: ./product-row.ts
  - source: reviews
`;
    expect(parseSliceFile(text, 'slice.yaml').slice?.tables).toEqual([
      {
        source: 'products',
        target: 'items',
        key: ['id'],
        columns: { id: 'id', price_cents: { sql: 'ROUND(price * 100)' } },
        transform: './product-row.ts',
        reference: false,
        until: null,
      },
      {
        source: 'reviews',
        target: 'reviews',
        key: null,
        columns: null,
        transform: null,
        reference: false,
        until: null,
      },
    ]);
    expect(parseSliceFile(good, 'slice.yaml').slice?.tables).toEqual([]);
  });

  test('refuses a table named twice, a column from nowhere and a transform from elsewhere', () => {
    const text = `${good}tables:
  - source: products
    columns: { id: 7 }
  - source: products
    transform: /etc/passwd
`;
    const { faults } = parseSliceFile(text, 'slice.yaml');
    const found = faults.map(({ line, path }) => `${line} ${path}`);
    expect(found).toEqual(expect.arrayContaining(['9 tables.0.columns.id', '11 tables.1.transform']));
    const twice = parseSliceFile(`${good}tables: [ { source: a }, { source: b, target: a } ]`, 'slice.yaml').faults;
    expect(twice.map(({ path }) => path)).toEqual(['tables.1.target']);
  });

  test('refuses a name that the way back of a slice has, and one that leaves it no room', () => {
    const named = (name: string) =>
      parseSliceFile(good.replace(/^slice: .*$/m, `slice: ${name}`), 'slice.yaml').faults.map(({ message }) => message);
    expect(named('catalog-reverse')).toEqual([expect.stringContaining('must not end in -reverse')]);
    expect(named('reverse-catalog')).toEqual([]);
    expect(named('c'.repeat(56))).toEqual([]);
    expect(named('c'.repeat(57))).toEqual([expect.stringContaining('must be 56 characters at most')]);
  });

  test('without gates has bounds for its canary, and takes each that it says', () => {
    const usual = {
      steps: [1, 5, 25, 50, 100],
      bakeMs: 30_000,
      maxErrorRate: 0.001,
      maxP99Ratio: 1.5,
      p99SlackMs: 10,
      minSamples: 200,
      maxMismatchRate: null,
    };
    expect(defaultCanaryBounds).toEqual(usual);
    expect(parseSliceFile(good, 'slice.yaml').slice?.gates.canary).toEqual(usual);
    const { slice } = parseSliceFile(`${good}gates: { canary: { steps: [ 0.5, 100 ], bake: 5m } }`, 'slice.yaml');
    expect(slice?.gates.canary).toEqual({ ...usual, steps: [0.5, 100], bakeMs: 300_000 });
    const compared = parseSliceFile(`${good}shadow: {}`, 'slice.yaml').slice;
    expect(compared?.gates.canary).toEqual({ ...usual, maxMismatchRate: 0.001 });
    const strict = parseSliceFile(`${good}gates: { canary: { maxMismatchRate: 0 } }`, 'slice.yaml').slice;
    expect(strict?.gates.canary.maxMismatchRate).toBe(0);
  });

  test.each([
    ['steps: [ 50, 5, 100 ]', 'steps'],
    ['steps: [ 5, 50 ]', 'steps'],
    ['steps: [ 0, 100 ]', 'steps'],
    ['bake: soon', 'bake'],
    ['bake: 10ms', 'bake'],
    ['maxErrorRate: 2', 'maxErrorRate'],
    ['maxP99Ratio: 0.5', 'maxP99Ratio'],
    ['p99Slack: some', 'p99Slack'],
    ['minSamples: 0', 'minSamples'],
    ['colour: blue', 'colour'],
  ])('with %s for its canary is refused', (bound, path) => {
    const { faults } = parseSliceFile(`${good}gates: { canary: { ${bound} } }`, 'slice.yaml');
    expect(faults.map((fault) => fault.path)).toEqual([`gates.canary.${path}`]);
  });

  test('has a JSON Schema in which every option says what it means', () => {
    const schema = sliceFileJsonSchema() as { properties: Record<string, { description?: string }> };
    for (const [option, { description }] of Object.entries(schema.properties)) {
      expect([option, description]).toEqual([option, expect.stringMatching(/\w+ \w+/)]);
    }
  });
});

describe('a folder of slices', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slices-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const put = async (name: string, text: string): Promise<void> => {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'slice.yaml'), text);
  };

  test('is read in order of name, folders without a slice file passed over', async () => {
    await put('orders', good.replaceAll('catalog', 'orders'));
    await put('catalog', good);
    await mkdir(join(folder, 'notes'));
    expect((await readSliceDirectory(folder)).map((slice) => slice.slice)).toEqual(['catalog', 'orders']);
  });

  test('with faults in two files tells both', async () => {
    await put('a', 'slice: a');
    await put('b', good);
    await expect(readSliceDirectory(folder)).rejects.toThrow(
      /a\/slice\.yaml:1 service[\s\S]*b\/slice\.yaml:1 slice: must be "b"/,
    );
  });

  test('that is not there is named', async () => {
    await expect(readSliceDirectory(join(folder, 'nowhere'))).rejects.toThrow(
      'nowhere:1 directory: cannot be read (ENOENT)',
    );
  });
});

describe('a slice file’s shadow, compare and their gate', () => {
  const parsed = (more: string) => parseSliceFile(`${good}${more}`, 'slice.yaml');

  test('that are not there compare nothing live and ask for nothing, and compare as usual in tests', () => {
    const { slice } = parsed('');
    expect(slice).toMatchObject({ shadow: null, openapi: null, gates: { shadow: null }, compare: defaultCompare });
    expect(slice?.compare.headers).toContain('etag');
  });

  test.each([
    'shadow: off\n',
    'shadow: off\ngates: { shadow: { samples: 5 } }\n',
    'gates: { shadow: { samples: 5 } }\n',
  ])('with %j nothing is compared live, and the gate asks for nothing', (text) => {
    expect(parsed(text).slice).toMatchObject({ shadow: null, gates: { shadow: null } });
  });

  test('that switch it on have all else filled in', () => {
    expect(parsed('shadow: {}\n').slice).toMatchObject({
      shadow: { sample: 1, calibrate: 0.05, writes: 'dry-run', routes: {} },
      gates: { shadow: { samples: 500, mismatches: 0, perCell: 20 } },
    });
    expect(parsed('shadow: {}\ngates: { shadow: { samples: 0 } }\n').slice?.gates.shadow).toBeNull();
  });

  test('give every rule its form', () => {
    const { slice, faults } = parsed(`openapi: ../api.yaml
compare:
  headers: [ ETag ]
  ignore: [ { path: "header date", reason: "clocks", by: ada }, { path: $.a, route: "GET /a", reason: b, by: c } ]
  unordered: [ "$.tags" ]
  keyed: { "$.items": id }
  identities: [ "$.id" ]
  times: { tolerance: 5s, paths: [ "$..at" ] }
  money: [ "event order.placed $.total" ]
  redact: [ "$.email" ]
`);
    expect(faults).toEqual([]);
    expect(slice?.openapi).toBe('../api.yaml');
    expect(slice?.compare).toEqual({
      headers: ['etag'],
      ignore: [
        { path: 'header date', route: null, reason: 'clocks', by: 'ada' },
        { path: '$.a', route: 'GET /a', reason: 'b', by: 'c' },
      ],
      unordered: ['$.tags'],
      keyed: { '$.items': 'id' },
      identities: ['$.id'],
      times: { toleranceMs: 5_000, paths: ['$..at'] },
      money: ['event order.placed $.total'],
      redact: ['$.email'],
    });
  });

  test.each<[string, string, string, number]>([
    ['an ignore without a reason', 'compare:\n  ignore:\n    - { path: $.a, by: ada }\n', 'compare.ignore.0.reason', 9],
    [
      'an ignore with an empty reason',
      'compare:\n  ignore:\n    - { path: $.a, by: ada, reason: " " }\n',
      'compare.ignore.0.reason',
      9,
    ],
    ['an ignore without an author', 'compare:\n  ignore:\n    - { path: $.a, reason: x }\n', 'compare.ignore.0.by', 9],
    [
      'an ignore of nothing known',
      'compare:\n  ignore:\n    - { path: a.b, reason: x, by: y }\n',
      'compare.ignore.0.path',
      9,
    ],
    [
      'an ignore of routes that are none',
      'compare:\n  ignore:\n    - { path: $.a, route: "post *", reason: x, by: y }\n',
      'compare.ignore.0.route',
      9,
    ],
    ['a set that is no array', 'compare:\n  unordered:\n    - header vary\n', 'compare.unordered.0', 9],
    ['a key of a path that is none', 'compare:\n  keyed:\n    "$[": id\n', 'compare.keyed.$[', 9],
    ['a tolerance that is no time', 'compare:\n  times:\n    tolerance: soon\n', 'compare.times.tolerance', 9],
    ['a share above one', 'shadow:\n  sample: 2\n', 'shadow.sample', 8],
    ['a share of no route', 'shadow:\n  routes: { products: 1 }\n', 'shadow', 7],
    ['a gate below nothing', 'gates:\n  shadow:\n    samples: -1\n', 'gates.shadow.samples', 9],
    ['an option that is none', 'compare:\n  headres: []\n', 'compare.headres', 8],
    ['a description that is no file of it', 'openapi: api.txt\n', 'openapi', 7],
  ])('with %s are refused with the line', (_what, text, path, line) => {
    const { slice, faults } = parsed(text);
    expect(slice).toBeNull();
    expect(faults.map((fault) => fault.path)).toContain(path);
    const fault = faults.find((one) => one.path === path)!;
    expect(Math.abs(fault.line - line)).toBeLessThanOrEqual(1);
    expect(fault.message).not.toBe('');
  });
});
