/** What the gateway file says of one version. */
export type VersionRules = {
  /** The path begins with this in place of the prefix, version and all; null: with the prefix alone. */
  path: string | null;
  /** Headers that the upstream is sent. */
  headers: Readonly<Record<string, string>>;
  /** Milliseconds since 1970; null where it is not. */
  deprecatedMs: number | null;
  sunsetMs: number | null;
  /** Where the deprecation is told of; null: nowhere. */
  link: string | null;
};

/** Which version a request is for. `none`: it names none and there is no default. */
export type Chosen =
  | { kind: 'version'; version: string; path: string }
  | { kind: 'unknown'; asked: string }
  | { kind: 'none' };

/** `/api/v1/products` under the prefix `/api`: the version is the first segment after it, and `path` what is asked upstream. */
export function versionOfPath(
  path: string,
  prefix: string,
  versions: Readonly<Record<string, Pick<VersionRules, 'path'>>>,
): Chosen {
  const base = prefix === '/' ? '' : prefix;
  if (!path.startsWith(`${base}/`)) return { kind: 'none' };
  const [asked = '', ...rest] = path.slice(base.length + 1).split('/');
  if (!/^v\d/i.test(asked) && !Object.hasOwn(versions, asked)) return { kind: 'none' };
  const version = Object.keys(versions).find((name) => name.toLowerCase() === asked.toLowerCase());
  if (version === undefined) return { kind: 'unknown', asked };
  const into = versions[version]!.path ?? base;
  return {
    kind: 'version',
    version,
    path: `${into === '/' ? '' : into}${rest.map((part) => `/${part}`).join('')}` || '/',
  };
}

/** A version that a media type names, and how much it is wanted. */
type Wish = { version: string; mediaType: string; weight: number };

/**
 * The version that `Accept` names: `application/vnd.<vendor>.v2+json`, or `application/json; version=2`. Of several that exist
 * the one that is liked best; an unknown one counts only where no other would do. `mediaType`: how the client named it.
 */
export function versionOfAccept(
  accept: string | undefined,
  vendor: string,
  versions: readonly string[],
): { kind: 'version'; version: string; mediaType: string } | { kind: 'unknown'; asked: string } | { kind: 'none' } {
  const ranges = (accept ?? '').split(',').map(readRange);
  const wishes = ranges.flatMap((range): Wish[] => {
    if (range === null || range.weight === 0) return [];
    const version = versionIn(range, vendor);
    return version === null ? [] : [{ version, mediaType: range.type, weight: range.weight }];
  });
  if (wishes.length === 0) return { kind: 'none' };
  wishes.sort((one, other) => other.weight - one.weight);
  for (const { version, mediaType } of wishes) {
    const known = versions.find((name) => sameVersion(name, version));
    if (known !== undefined) return { kind: 'version', version: known, mediaType };
  }
  // Where anything else is acceptable too, the default is.
  const takesOthers = ranges.some((range) => range !== null && range.weight > 0 && versionIn(range, vendor) === null);
  return takesOthers ? { kind: 'none' } : { kind: 'unknown', asked: wishes[0]!.version };
}

type Range = { type: string; parameters: ReadonlyMap<string, string>; weight: number };

function readRange(text: string): Range | null {
  const [type = '', ...rest] = text.split(';').map((word) => word.trim());
  if (!/^[^\s/]+\/[^\s/]+$/.test(type)) return null;
  const parameters = new Map<string, string>();
  for (const parameter of rest) {
    const at = parameter.indexOf('=');
    if (at > 0)
      parameters.set(
        parameter.slice(0, at).trim().toLowerCase(),
        parameter
          .slice(at + 1)
          .trim()
          .replace(/^"(.*)"$/, '$1'),
      );
  }
  const q = parameters.get('q');
  return {
    type: type.toLowerCase(),
    parameters,
    weight: q === undefined ? 1 : Math.min(1, Math.max(0, Number(q) || 0)),
  };
}

function versionIn({ type, parameters }: Range, vendor: string): string | null {
  const subtype = type.slice(type.indexOf('/') + 1);
  const prefix = `vnd.${vendor.toLowerCase()}.`;
  if (subtype.startsWith(prefix)) {
    const plus = subtype.indexOf('+');
    return subtype.slice(prefix.length, plus === -1 ? undefined : plus);
  }
  return parameters.get('version') ?? null;
}

/** `2` names `v2`. */
const sameVersion = (name: string, asked: string): boolean => {
  const plain = (text: string): string => text.toLowerCase().replace(/^v(?=\d)/, '');
  return plain(name) === plain(asked);
};

/** `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and the link that explains them. */
export function ageHeaders({ deprecatedMs, sunsetMs, link }: VersionRules): string[] {
  const headers: string[] = [];
  if (deprecatedMs !== null) headers.push('Deprecation', `@${Math.floor(deprecatedMs / 1000)}`);
  if (sunsetMs !== null) headers.push('Sunset', new Date(sunsetMs).toUTCString());
  if (link !== null && headers.length > 0) headers.push('Link', `<${link}>; rel="deprecation"; type="text/html"`);
  return headers;
}
