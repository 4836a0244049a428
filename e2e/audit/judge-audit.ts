import { z } from 'zod';

/** A known fault of a package, as `npm audit --json` tells of it. */
export type Advisory = { id: string; package: string; severity: string; title: string; url: string };

const advisory = z.object({
  source: z.union([z.number(), z.string()]),
  name: z.string(),
  title: z.string(),
  url: z.string(),
  severity: z.string(),
});
const report = z.object({
  auditReportVersion: z.literal(2),
  vulnerabilities: z.record(z.string(), z.object({ via: z.array(z.union([z.string(), advisory])) })),
});

/** What we live with for a while, and why. From the day after `until` on it fails, whether or not the registry is asked. */
const exception = z.strictObject({
  advisory: z.string().min(1),
  package: z.string().min(1),
  reason: z.string().min(20),
  until: z.iso.date(),
});
export type Exception = z.infer<typeof exception>;

export const readExceptions = (text: string): Exception[] => z.array(exception).parse(JSON.parse(text));

const failing = new Set(['high', 'critical']);

/** Every high or critical fault, once; undefined where the text is no report: nobody has looked. */
export function advisoriesOf(text: string): Advisory[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  const read = report.safeParse(parsed);
  if (!read.success) return undefined;
  const found = new Map<string, Advisory>();
  for (const { via } of Object.values(read.data.vulnerabilities)) {
    for (const one of via) {
      if (typeof one === 'string' || !failing.has(one.severity)) continue;
      const id = /GHSA(-[a-z0-9]{4}){3}/.exec(one.url)?.[0] ?? String(one.source);
      found.set(`${id} ${one.name}`, { id, package: one.name, severity: one.severity, title: one.title, url: one.url });
    }
  }
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** What fails, a line each; and what there is to say beside. `today`: YYYY-MM-DD. */
export function judgeAudit(
  advisories: readonly Advisory[],
  exceptions: readonly Exception[],
  today: string,
): { failures: string[]; notes: string[] } {
  const isFor = (one: Advisory) => (other: Exception) => other.advisory === one.id && other.package === one.package;
  const over = exceptions.filter(({ until }) => until < today);
  const failures = over.map(
    ({ advisory: id, package: name, until }) =>
      `${name}: the exception for ${id} has ended on ${until}; mend it, or say anew why not`,
  );
  const notes: string[] = [];
  for (const one of advisories) {
    const known = exceptions.find(isFor(one));
    if (known === undefined) failures.push(`${one.package}: ${one.severity}: ${one.title} (${one.url})`);
    else if (known.until >= today) notes.push(`${one.package}: ${one.id} until ${known.until}: ${known.reason}`);
  }
  return { failures, notes };
}

/** Exceptions for what is not found any more. */
export const unneeded = (advisories: readonly Advisory[], exceptions: readonly Exception[]): Exception[] =>
  exceptions.filter((one) => !advisories.some(({ id, package: name }) => id === one.advisory && name === one.package));
