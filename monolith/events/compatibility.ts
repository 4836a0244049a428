/** A JSON Schema of the kinds that events are described with. */
export type EventSchema = { readonly [keyword: string]: unknown };

/** They tell people something, and refuse nothing. */
const annotations = new Set(['$schema', '$id', '$comment', 'title', 'description', 'examples', 'deprecated']);

/** What they refuse depends on their own value alone: two schemas refuse the same where the values are equal. */
const plain = new Set([
  'type',
  'enum',
  'const',
  'minimum',
  'maximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'format',
  'minItems',
  'maxItems',
]);

/**
 * What keeps those who know one version of an event's schema from reading events of the other, each with where it is; none where all that
 * is new may be missing. Both ways, because a consumer that knows the newer version still meets older events, in its queue and when it
 * replays, and one that knows the older version meets newer ones. Readers ignore members that they do not know.
 */
export function compatibilityFaults(older: EventSchema, newer: EventSchema): string[] {
  return faultsAt('data', older, newer);
}

function faultsAt(path: string, older: EventSchema, newer: EventSchema): string[] {
  const keywords = [...new Set([...Object.keys(older), ...Object.keys(newer)])].filter(
    (name) => !annotations.has(name),
  );
  return keywords
    .flatMap((keyword) => {
      if (keyword === 'properties' || keyword === 'required') return [];
      if (keyword === 'items') return itemFaults(path, older.items, newer.items);
      if (!plain.has(keyword)) return [`${path}: ${keyword} is a keyword that cannot be compared; do without it`];
      const [was, is] = [canonical(older[keyword]), canonical(newer[keyword])];
      return was === is ? [] : [`${path}: ${keyword} was ${was}, is ${is}`];
    })
    .concat(memberFaults(path, older, newer));
}

function itemFaults(path: string, older: unknown, newer: unknown): string[] {
  if (isSchema(older) && isSchema(newer)) return faultsAt(`${path}[]`, older, newer);
  return canonical(older) === canonical(newer) ? [] : [`${path}[]: was ${canonical(older)}, is ${canonical(newer)}`];
}

function memberFaults(path: string, older: EventSchema, newer: EventSchema): string[] {
  const [was, is] = [membersOf(older), membersOf(newer)];
  const names = [...new Set([...was.all.keys(), ...is.all.keys()])];
  return names.flatMap((name) => {
    const at = `${path}.${name}`;
    if (!is.all.has(name)) return [`${at}: is gone`];
    if (!was.all.has(name)) return is.required.has(name) ? [`${at}: is new, and required`] : [];
    const faults = faultsAt(at, was.all.get(name) ?? {}, is.all.get(name) ?? {});
    if (was.required.has(name) && !is.required.has(name)) faults.push(`${at}: was required, may be missing`);
    if (!was.required.has(name) && is.required.has(name)) faults.push(`${at}: could be missing, is required`);
    return faults;
  });
}

function membersOf(schema: EventSchema): { all: Map<string, EventSchema>; required: Set<string> } {
  const required = new Set((schema.required as string[] | undefined) ?? []);
  const all = new Map(Object.entries((schema.properties as Record<string, EventSchema> | undefined) ?? {}));
  for (const name of required) if (!all.has(name)) all.set(name, {});
  return { all, required };
}

function isSchema(value: unknown): value is EventSchema {
  return typeof value === 'object' && value !== null;
}

/** The order of alternatives says nothing. */
function canonical(value: unknown): string {
  const text = (part: unknown): string => JSON.stringify(part) ?? 'not there';
  return Array.isArray(value) ? `[${value.map(text).sort().join(', ')}]` : text(value);
}
