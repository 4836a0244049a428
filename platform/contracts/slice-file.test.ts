import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
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
      },
      { source: 'reviews', target: 'reviews', key: null, columns: null, transform: null, reference: false },
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
