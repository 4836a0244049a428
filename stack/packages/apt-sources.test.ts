import { describe, expect, test } from '@jest/globals';
import { formatDeb822, nativeSources, otherSuite, parseDeb822, parseOneLine } from './apt-sources.ts';

const deb822 = `# a comment
Types: deb deb-src
# another one, inside
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
uris: http://mirror.test/security
suites: bookworm-security
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb-src
URIs: http://mirror.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.test/apt
Suites: bookworm
Components: stable
Enabled: no
`;

describe('deb822 sources', () => {
  const sources = parseDeb822(deb822);

  test('are those that hold binary packages and are switched on', () => {
    expect(sources.map((source) => source.Suites)).toEqual(['bookworm bookworm-updates', 'bookworm-security']);
    expect(sources[0]).toEqual({
      Types: 'deb',
      URIs: 'http://mirror.test/debian',
      Suites: 'bookworm bookworm-updates',
      Components: 'main contrib',
      'Signed-By': '/usr/share/keyrings/debian.gpg',
    });
  });

  test('keep a key that is written out over several lines, whatever the case of the field', () => {
    expect(sources[1]?.['Signed-By']).toContain('\n mQINBF\n');
    expect(parseDeb822(formatDeb822(sources))[1]?.['Signed-By']).toBe(sources[1]?.['Signed-By']);
  });

  test('are written so that nothing but package lists is fetched', () => {
    expect(formatDeb822(sources).match(/^Targets: Packages$/gm)).toHaveLength(2);
  });
});

describe('one-line sources', () => {
  test('are read with their options, without comments and source packages', () => {
    const text = [
      '# deb http://mirror.test/old stretch main',
      'deb-src http://mirror.test/debian bookworm main',
      'deb [arch=amd64,arm64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib  # why',
      'deb http://flat.test/repo ./',
      '',
    ].join('\n');
    expect(parseOneLine(text)).toEqual([
      {
        Types: 'deb',
        URIs: 'http://mirror.test/debian',
        Suites: 'bookworm',
        Components: 'main contrib',
        Architectures: 'amd64 arm64',
        'Signed-By': '/k.gpg',
      },
      { Types: 'deb', URIs: 'http://flat.test/repo', Suites: './' },
    ]);
  });

  test('mean what the same source means in deb822 form', () => {
    const line = 'deb [signed-by=/k.gpg trusted=yes] http://mirror.test/debian trixie main';
    const stanza =
      'Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\nSigned-By: /k.gpg\nTrusted: yes\n';
    expect(parseOneLine(line)).toEqual(parseDeb822(stanza));
  });
});

describe('of the sources of a machine', () => {
  const sources = [
    ...parseDeb822(deb822),
    ...parseOneLine('deb http://vendor.test/node nodistro main\ndeb http://mirror.test/debian bookworm-backports main'),
  ];

  test("the release's own are taken, not those of vendors and backports", () => {
    expect(nativeSources(sources, 'bookworm').map(({ URIs, Suites }) => [URIs, Suites])).toEqual([
      ['http://mirror.test/debian', 'bookworm bookworm-updates'],
      ['http://mirror.test/security', 'bookworm-security'],
    ]);
  });

  test('all are taken where none carries the code name', () => {
    const stable = parseOneLine('deb http://mirror.test/debian stable main');
    expect(nativeSources(stable, 'bookworm')).toEqual(stable);
  });

  test('another suite has the mirror and the key of the base suite, and the component main', () => {
    expect(otherSuite(sources, 'bookworm', 'sid')).toEqual({
      Types: 'deb',
      URIs: 'http://mirror.test/debian',
      Suites: 'sid',
      Components: 'main',
      'Signed-By': '/usr/share/keyrings/debian.gpg',
    });
  });

  test('no other suite is made up where there is no base suite to take it from', () => {
    expect(otherSuite(parseOneLine('deb http://vendor.test/x nodistro main'), 'noble', 'sid')).toBeUndefined();
  });
});
