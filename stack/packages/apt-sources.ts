/**
 * Where this machine's apt gets its packages from, as sources.list(5) describes it: the one-line form and deb822.
 * Mirrors, keyrings and options are taken as they are found; nothing here knows the address of any mirror.
 */

/** One stanza: field names as in deb822, e.g. `URIs`, `Suites`, `Signed-By`. Multi-line values keep their lines. */
export type AptSource = Record<string, string>;

/** Names of the bracketed options of the one-line form, by their deb822 field. */
const optionFields: Record<string, string> = {
  arch: 'Architectures',
  lang: 'Languages',
  target: 'Targets',
  pdiffs: 'PDiffs',
  'by-hash': 'By-Hash',
  'allow-insecure': 'Allow-Insecure',
  'allow-weak': 'Allow-Weak',
  'allow-downgrade-to-insecure': 'Allow-Downgrade-To-Insecure',
  trusted: 'Trusted',
  'signed-by': 'Signed-By',
  'check-valid-until': 'Check-Valid-Until',
  'valid-until-min': 'Valid-Until-Min',
  'valid-until-max': 'Valid-Until-Max',
  'check-date': 'Check-Date',
  'date-max-future': 'Date-Max-Future',
  'inrelease-path': 'InRelease-Path',
};

/** Parses a `.list` file. Lines that are not a binary source (comments, deb-src) are left out. */
export function parseOneLine(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)(?:\s+(.*))?$/.exec(line);
    if (match === null) continue;
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const source: AptSource = { Types: 'deb', URIs: uri, Suites: suite };
    if (components.trim() !== '') source.Components = words(components).join(' ');
    for (const option of words(options)) {
      const [name = '', value = ''] = splitAt(option, option.search(/[+-]?=/));
      const field = optionFields[name.toLowerCase()];
      if (field !== undefined) source[field] = value.replace(/^[+-]?=/, '').replaceAll(',', ' ');
    }
    sources.push(source);
  }
  return sources;
}

/** Parses a `.sources` file. Stanzas that are switched off or hold no binary packages are left out. */
export function parseDeb822(text: string): AptSource[] {
  const sources: AptSource[] = [];
  const withoutComments = text.split('\n').filter((line) => !line.startsWith('#'));
  for (const stanza of withoutComments.join('\n').split(/\n[ \t]*\n/)) {
    const source: AptSource = {};
    let field: string | undefined;
    for (const line of stanza.split('\n')) {
      if (/^[ \t]/.test(line) && field !== undefined) {
        source[field] += `\n${line}`;
        continue;
      }
      const colon = line.indexOf(':');
      if (colon < 1) continue;
      field = canonical(line.slice(0, colon).trim());
      source[field] = line.slice(colon + 1).trim();
    }
    const enabled = !/^(no|false|0|off|disable)$/i.test(source.Enabled ?? 'yes');
    if (enabled && words(source.Types ?? '').includes('deb') && source.URIs && source.Suites) {
      sources.push({ ...source, Types: 'deb' });
    }
  }
  return sources;
}

/** Writes stanzas in deb822 form. Only package lists are asked for: no translations, icons or file lists. */
export function formatDeb822(sources: readonly AptSource[]): string {
  return `${sources
    .map((source) =>
      Object.entries({ ...source, Targets: 'Packages' })
        .map(([field, value]) => `${field}: ${value}`)
        .join('\n'),
    )
    .join('\n\n')}\n`;
}

/**
 * The sources of the running release itself: its base suite, updates and security fixes. Third-party repositories
 * and backports are left out. Where none carries the release's code name (`stable`, say), all of them.
 */
export function nativeSources(sources: readonly AptSource[], codename: string): AptSource[] {
  const wanted = new RegExp(`^${escapePattern(codename)}(-updates|-security|/updates)?$`);
  const native = sources.flatMap((source) => {
    const suites = words(source.Suites ?? '').filter((suite) => wanted.test(suite));
    return suites.length > 0 && words(source.Components ?? '').includes('main')
      ? [{ ...source, Suites: suites.join(' ') }]
      : [];
  });
  return native.length > 0 ? native : [...sources];
}

/**
 * The source for another suite of the same distribution: the mirror, keyring and options of the source that holds
 * the release's base suite. Undefined when there is no such source.
 */
export function otherSuite(sources: readonly AptSource[], codename: string, suite: string): AptSource | undefined {
  const base = sources.filter((source) => words(source.Components ?? '').includes('main'));
  const holding = (names: readonly string[]) =>
    base.find((source) => words(source.Suites ?? '').some((name) => names.includes(name)));
  const source =
    holding([codename]) ??
    holding(['stable', 'oldstable', 'oldoldstable', 'testing', 'unstable', 'sid', 'trixie', 'bookworm', 'bullseye']);
  return source === undefined ? undefined : { ...source, Suites: suite, Components: 'main' };
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

const escapePattern = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

function splitAt(text: string, index: number): [string, string] {
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index)];
}

/** Field names are not case-sensitive; the ones that are looked at are spelt one way here. */
function canonical(field: string): string {
  const known = ['Types', 'URIs', 'Suites', 'Components', 'Enabled', 'Targets', ...Object.values(optionFields)];
  return known.find((name) => name.toLowerCase() === field.toLowerCase()) ?? field;
}
