import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import fc from 'fast-check';
import { fileName, openLastKnown } from './last-known.ts';

const log = createLog({ name: 'last-known-test', level: 'silent' });
const instance = (port: number) => ({ id: `catalog-${port}`, address: '127.0.0.1', port, passing: true });
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'last-known-'));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

test('what was written is read again by the next process, and nothing else is left lying about', async () => {
  const nested = join(directory, 'discovery');
  await openLastKnown(nested, log).write('catalog', [instance(3101), instance(3102)]);
  expect(await openLastKnown(nested, log).read('catalog')).toMatchObject({
    service: 'catalog',
    instances: [instance(3101), instance(3102)],
  });
  expect(await readdir(nested)).toEqual(['catalog.json']);
});

test('of writes that overtake each other the last one stays', async () => {
  const kept = openLastKnown(directory, log);
  await Promise.all([1, 2, 3, 4, 5].map((port) => kept.write('catalog', [instance(port)])));
  expect((await kept.read('catalog'))?.instances).toEqual([instance(5)]);
});

test('a file that does not say which instances passed their checks tells of passing ones', async () => {
  const { passing: _, ...unsaid } = instance(3101);
  const document = { service: 'catalog', learntAt: '2026-01-01T00:00:00.000Z', instances: [unsaid] };
  await writeFile(join(directory, 'catalog.json'), JSON.stringify(document));
  expect((await openLastKnown(directory, log).read('catalog'))?.instances).toEqual([instance(3101)]);
});

test('a reader never sees half of a file while it is being written again and again', async () => {
  const kept = openLastKnown(directory, log);
  const many = (port: number) => Array.from({ length: 200 }, () => instance(port));
  await kept.write('catalog', many(1));
  let writing = true;
  const writer = (async () => {
    for (let port = 2; port < 40; port += 1) await kept.write('catalog', many(port));
    writing = false;
  })();
  while (writing) {
    const { instances } = JSON.parse(await readFile(join(directory, 'catalog.json'), 'utf8'));
    expect(instances).toHaveLength(200);
    expect(new Set(instances.map(({ port }: { port: number }) => port)).size).toBe(1);
  }
  await writer;
});

test.each([
  '',
  '{',
  '{"service":"catalog"}',
  '{"service":"orders","learntAt":"2026-01-01T00:00:00.000Z","instances":[]}',
])('a file that holds %p is not used', async (text) => {
  await writeFile(join(directory, 'catalog.json'), text);
  expect(await openLastKnown(directory, log).read('catalog')).toBeUndefined();
});

test('nothing kept is nothing read, and a directory that cannot be written to throws nothing', async () => {
  expect(await openLastKnown(directory, log).read('catalog')).toBeUndefined();
  const file = join(directory, 'not-a-directory');
  await writeFile(file, '');
  await openLastKnown(file, log).write('catalog', [instance(1)]);
  expect(await openLastKnown(file, log).read('catalog')).toBeUndefined();
});

test('every service has a file of its own, and no name leads out of the directory', () => {
  const name = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.constantFrom('..', '.', '../x', '/etc/passwd', 'a/../../b', 'a\0b'),
  );
  fc.assert(
    fc.property(name, name, (one, other) => {
      expect(fileName(one)).toMatch(/^[^/\\.\0]+\.json$/);
      if (one !== other) expect(fileName(one)).not.toBe(fileName(other));
    }),
    { numRuns: 2_000 },
  );
});
