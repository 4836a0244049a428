/** The versions of the API that are answered side by side. */
export const apiVersions = [1, 2] as const;
export type ApiVersion = (typeof apiVersions)[number];

export const mediaTypeOf = (version: ApiVersion): string => `application/vnd.shop.payments.v${version}+json`;

/** Every media type that a request's body may be of. */
export const bodyTypes = ['application/json', ...apiVersions.map(mediaTypeOf)];

/** `named`: the client asked for the version by its media type, and is answered in it. */
export type Negotiated = { kind: 'version'; version: ApiVersion; named: boolean } | { kind: 'not_acceptable' };

const named = /^application\/vnd\.shop\.payments\.v(\d{1,3})\+json$/i;

/**
 * Which version a request speaks: that of its path, or where the path has none (`pathVersion` undefined) the newest that
 * Accept or else Content-Type names, or else the first.
 */
export function negotiate({
  pathVersion,
  accept,
  contentType,
}: {
  pathVersion: ApiVersion | undefined;
  accept: string | undefined;
  contentType: string | undefined;
}): Negotiated {
  const wanted = (accept ?? '').split(',').flatMap((item) => {
    const [type = '', ...parameters] = item.split(';').map((text) => text.trim());
    const refused = parameters.some((parameter) => /^q=0(\.0{0,3})?$/i.test(parameter));
    return type === '' || refused ? [] : [type];
  });
  const asked = wanted.map(versionNamed).filter((version) => version !== undefined);
  const takesAny = wanted.length === 0 || wanted.some((type) => /^(\*\/\*|application\/(\*|json))$/i.test(type));
  const known = apiVersions.filter((version) => asked.includes(version) && (pathVersion ?? version) === version);
  const best = known.at(-1);
  if (best !== undefined) return { kind: 'version', version: best, named: true };
  if (asked.length > 0 && !takesAny) return { kind: 'not_acceptable' };
  const sent = apiVersions.find((version) => version === versionNamed((contentType ?? '').split(';')[0]?.trim() ?? ''));
  return { kind: 'version', version: pathVersion ?? sent ?? 1, named: false };
}

function versionNamed(type: string): number | undefined {
  const digits = named.exec(type)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
