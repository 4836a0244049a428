import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parsePrintedUris } from './apt.ts';
import { chooseClosure, type DependencyGraph, parseDepends } from './closure.ts';
import { keeps, packageSets } from './sets.ts';
import { upstreamVersion } from './unpack.ts';

const printed = `rabbitmq-server
  PreDepends: init-helpers
 |Depends: erlang-base
  Depends: <erlang-base-hipe>
  Depends: erlang-ssl
  Depends: lsb-base
    sysvinit-utils
init-helpers
erlang-base
  Depends: libc6
  Depends: libsystemd0
    libelogind0
<erlang-base-hipe>
erlang-ssl
  Depends: erlang-base
lsb-base
sysvinit-utils
libc6
  Depends: libgcc-s1
libgcc-s1
  Depends: libc6
libsystemd0
libelogind0
`;

describe('what apt-cache prints', () => {
  const graph = parseDepends(printed);

  test('becomes groups of alternatives, providers among them', () => {
    expect(graph.get('rabbitmq-server')).toEqual([
      ['init-helpers'],
      ['erlang-base', '<erlang-base-hipe>'],
      ['erlang-ssl'],
      ['lsb-base', 'sysvinit-utils'],
    ]);
    expect(graph.get('erlang-base')).toEqual([['libc6'], ['libsystemd0', 'libelogind0']]);
    expect(graph.get('init-helpers')).toEqual([]);
  });

  test('is followed through what the server needs to run, and through nothing else', () => {
    const keep = (name: string) => keeps(packageSets.rabbitmq, name);
    expect(chooseClosure(graph, ['rabbitmq-server'], { keep, present: new Set() })).toEqual([
      'erlang-base',
      'erlang-ssl',
      'libc6',
      'libgcc-s1',
      'libsystemd0',
      'rabbitmq-server',
    ]);
  });

  test('is not downloaded where the system has it, or one that does the same', () => {
    const rules = {
      keep: (name: string) => keeps(packageSets.rabbitmq, name),
      present: new Set(['libc6', 'libelogind0']),
    };
    expect(chooseClosure(graph, ['rabbitmq-server'], rules)).toEqual(['erlang-base', 'erlang-ssl', 'rabbitmq-server']);
  });

  test('without the package asked for is an error that names it', () => {
    expect(() => chooseClosure(graph, ['mysqld'], { keep: () => true, present: new Set() })).toThrow('mysqld');
  });
});

test('every closure ends, holds its roots, and lacks nothing that it keeps', () => {
  const names = Array.from({ length: 12 }, (_, index) => `p${index}`);
  const one = fc.constantFrom(...names);
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.uniqueArray(one, { minLength: 1, maxLength: 3 }), { maxLength: 4 }), {
        minLength: 12,
        maxLength: 12,
      }),
      fc.uniqueArray(one, { minLength: 1, maxLength: 3 }),
      fc.uniqueArray(one),
      fc.uniqueArray(one),
      (groups, roots, kept, present) => {
        const graph: DependencyGraph = new Map(names.map((name, index) => [name, groups[index] ?? []]));
        const chosen = chooseClosure(graph, roots, { keep: (name) => kept.includes(name), present: new Set(present) });
        expect(chosen).toEqual(expect.arrayContaining(roots));
        for (const name of chosen) {
          expect(roots.includes(name) || kept.includes(name)).toBe(true);
          for (const alternatives of graph.get(name) ?? []) {
            const met = alternatives.some((other) => chosen.includes(other) || present.includes(other));
            expect(met || !alternatives.some((other) => kept.includes(other))).toBe(true);
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test.each([
  ['libssl3t64', true],
  ['zlib1g', true],
  ['perl', false],
  ['libfile-find-rule-perl', false],
  ['adduser', false],
  ['debconf', false],
  ['erlang-ssl', false],
])('a database needs %s: %s', (name, expected) => {
  expect(keeps(packageSets.mysql, name)).toBe(expected);
});

test('file names that apt prints give package, version, size and hash', () => {
  const text = `'http://mirror.test/redis_5%3a7.0.15-1~deb12u7_amd64.deb' redis-server_5%3a7.0.15-1~deb12u7_amd64.deb 72468 SHA256:abc123
'http://mirror.test/x.deb' libx_1.0_all.deb 5 MD5Sum:00ff
W: something else`;
  expect(parsePrintedUris(text)).toEqual([
    {
      name: 'redis-server',
      version: '5:7.0.15-1~deb12u7',
      file: 'redis-server_5%3a7.0.15-1~deb12u7_amd64.deb',
      bytes: 72468,
      hash: { algorithm: 'sha256', hex: 'abc123' },
    },
    { name: 'libx', version: '1.0', file: 'libx_1.0_all.deb', bytes: 5, hash: { algorithm: 'md5', hex: '00ff' } },
  ]);
});

test.each([
  ['5:7.0.15-1~deb12u7', '7.0.15'],
  ['9.7.4-2', '9.7.4'],
  ['1:10.11.19-0+deb12u1', '10.11.19'],
  ['1.8.7+dfsg1-2+b3', '1.8.7'],
])('%s is what its makers call %s', (version, expected) => {
  expect(upstreamVersion(version)).toBe(expected);
});
