import { z } from 'zod';
import type { OutgoingRequest } from '../../accept/outgoing.ts';
import type { RequestFacts } from '../../decide/decision.ts';
import { policyKind } from '../kind.ts';
import type { Policy, PolicyRequest, Verdict } from '../policy.ts';
import { ageHeaders, type VersionRules, versionOfAccept, versionOfPath } from './choose-version.ts';

const path = z.string().regex(/^\/[^\s?#*]*$/, 'must be a path such as /api');

const date = z.union([z.iso.date(), z.iso.datetime()]).describe('2026-12-31, or with a time in UTC.');

const versionSettings = z.strictObject({
  path: path.optional().describe('What the path begins with at the upstream. Default: the prefix, without a version.'),
  headers: z
    .record(
      z.string().regex(/^[A-Za-z][A-Za-z0-9-]*$/, 'must be the name of a header'),
      z.string().regex(/^[\x20-\x7e]*$/),
    )
    .default({})
    .describe('Headers that the upstream is sent in place of the client’s own.'),
  deprecated: date.optional().describe('Since when it should no longer be used: header Deprecation (RFC 9745).'),
  sunset: date.optional().describe('When it will no longer answer: header Sunset (RFC 8594).'),
  link: z.url().optional().describe('Where a person reads about it.'),
});

export const versionsSettings = z
  .strictObject({
    by: z.enum(['uri', 'media-type']).describe('Where a request says its version: /api/v1/…, or Accept.'),
    prefix: path
      .default('/')
      .describe('What comes before the version in the path, and before the rest upstream. Default: /.'),
    vendor: z
      .string()
      .regex(/^[a-z0-9][a-z0-9.-]{0,63}$/, 'must be the word between vnd. and the version')
      .default('api')
      .describe('Media types are application/vnd.<vendor>.<version>+json. Default: api.'),
    versions: z
      .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/, 'must be a version such as v1'), versionSettings)
      .refine((versions) => Object.keys(versions).length > 0, 'must be at least one version')
      .describe('What becomes of a request for each version.'),
    default: z.string().optional().describe('The version of a request that names none. Default: it goes on unchanged.'),
  })
  .describe('API versions by URI or media type; another version than those is 404, or 406 by media type.');

type Settings = z.infer<typeof versionsSettings>;

/** Which version a request got and how it was named, for its answer. */
type Met = { headers: string[]; mediaType: string | null };

export const versions = policyKind({
  schema: versionsSettings,
  create(name, settings): Policy {
    const known = readVersions(settings);
    const names = Object.keys(known);
    if (settings.default !== undefined && !Object.hasOwn(known, settings.default)) {
      throw new Error(`default: must be one of the versions ${names.join(', ')}, found ${settings.default}`);
    }
    const met = new WeakMap<PolicyRequest, Met>();

    const go = (request: PolicyRequest, version: string, target: string, mediaType: string | null): Verdict => {
      const { facts, outgoing } = request;
      const rules = known[version]!;
      rewrite(facts, outgoing, target);
      for (const [header, value] of Object.entries(rules.headers)) setHeader(outgoing, header, value);
      if (mediaType !== null) setHeader(outgoing, 'Accept', 'application/json');
      outgoing.said = [...outgoing.said, `${name}=${version}`];
      met.set(request, { headers: ageHeaders(rules), mediaType });
      return { kind: 'pass' };
    };

    const underPrefix = (request: PolicyRequest, version: string): string => {
      const { path: into } = known[version]!;
      const { prefix } = settings;
      const at = request.facts.path;
      if (into === null || !(at === prefix || prefix === '/' || at.startsWith(`${prefix}/`))) return at;
      const rest = prefix === '/' ? at : at.slice(prefix.length);
      return `${into === '/' ? '' : into}${rest}` || '/';
    };

    return {
      name,
      check(request): Verdict {
        const { facts } = request;
        if (settings.by === 'uri') {
          const found = versionOfPath(facts.path, settings.prefix, known);
          if (found.kind === 'version') return go(request, found.version, found.path, null);
          if (found.kind === 'unknown') return unknownVersion(404, names);
        } else {
          const accept = facts.headers.accept;
          const found = versionOfAccept(typeof accept === 'string' ? accept : undefined, settings.vendor, names);
          if (found.kind === 'version') {
            return go(request, found.version, underPrefix(request, found.version), found.mediaType);
          }
          if (found.kind === 'unknown') return unknownVersion(406, names);
        }
        if (settings.default === undefined) return { kind: 'pass' };
        return go(request, settings.default, underPrefix(request, settings.default), null);
      },
      answering(request, { rawHeaders }) {
        const found = met.get(request);
        const varies = settings.by === 'media-type' ? ['Vary', 'Accept'] : [];
        if (found === undefined) return varies.length === 0 ? rawHeaders : [...rawHeaders, ...varies];
        return [...named(rawHeaders, found.mediaType), ...found.headers, ...varies];
      },
    };
  },
});

/** The client is answered in the media type that it named, where the upstream speaks plain JSON. */
function named(rawHeaders: readonly string[], mediaType: string | null): readonly string[] {
  if (mediaType === null || !/[/+]json$/.test(mediaType) || mediaType === 'application/json') return rawHeaders;
  return rawHeaders.map((value, at) => {
    const isType = at % 2 === 1 && rawHeaders[at - 1]!.toLowerCase() === 'content-type';
    return isType ? value.replace(/^application\/json(?=$|[;\s])/i, mediaType) : value;
  });
}

const unknownVersion = (status: 404 | 406, names: readonly string[]): Verdict => ({
  kind: 'refuse',
  status,
  title: status === 404 ? 'Not found' : 'Not acceptable',
  detail: `Expected a version that there is: ${names.join(', ')}.`,
  headers: status === 406 ? { Vary: 'Accept' } : {},
});

/** The query stays as it came. */
function rewrite(facts: RequestFacts, outgoing: OutgoingRequest, path: string): void {
  const at = outgoing.target.indexOf('?');
  outgoing.target = at === -1 ? path : `${path}${outgoing.target.slice(at)}`;
  facts.path = path;
}

function setHeader(outgoing: OutgoingRequest, name: string, value: string): void {
  for (const key of Object.keys(outgoing.headers)) {
    if (key.toLowerCase() === name.toLowerCase()) delete outgoing.headers[key];
  }
  outgoing.headers[name] = value;
}

const readVersions = ({ versions }: Settings): Record<string, VersionRules> =>
  Object.fromEntries(
    Object.entries(versions).map(([version, { path, headers, deprecated, sunset, link }]) => [
      version,
      {
        path: path ?? null,
        headers,
        deprecatedMs: deprecated === undefined ? null : Date.parse(deprecated),
        sunsetMs: sunset === undefined ? null : Date.parse(sunset),
        link: link ?? null,
      },
    ]),
  );
