/** What a process tells in Prometheus's text format: by the name of a series, the labels that its samples have had. */
export type Exposed = { labels: Map<string, Set<string>>; samples: Set<string>; series: number };

/** Adds what one answer of /metrics tells. */
export function addExposition(exposed: Exposed, text: string): void {
  for (const line of text.split('\n')) {
    const [, name = '', type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (type !== undefined) {
      const names = type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => `${name}${end}`) : [name];
      for (const one of names) if (!exposed.labels.has(one)) exposed.labels.set(one, new Set());
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+/.exec(line);
    if (sample === null) continue;
    // Kinds of garbage collection come to be needed at any time, and are few.
    if (!sample[1]?.startsWith('nodejs_gc_')) exposed.series += 1;
    exposed.samples.add(sample[1] ?? '');
    const labels = exposed.labels.get(sample[1] ?? '') ?? new Set();
    for (const [, label = ''] of (sample[2] ?? '').matchAll(/([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"/g)) labels.add(label);
    exposed.labels.set(sample[1] ?? '', labels);
  }
}

export const nothingExposed = (): Exposed => ({ labels: new Map(), samples: new Set(), series: 0 });

/** Asks all of them, and takes together what they tell. */
export async function scrape(addresses: readonly string[]): Promise<Exposed> {
  const exposed = nothingExposed();
  for (const address of addresses) {
    const answer = await fetch(new URL('/metrics', address));
    if (answer.status !== 200) throw new Error(`${address}/metrics: expected 200, found ${answer.status}`);
    addExposition(exposed, await answer.text());
  }
  return exposed;
}

/** Why a reading finds nothing in what is exposed; null where it does. */
export function missing(
  { metric, labels }: { metric: string; labels: readonly string[] },
  exposed: Exposed,
): string | null {
  const known = exposed.labels.get(metric);
  if (known === undefined) return `no process has a metric ${metric}`;
  // Of one that nothing has happened to yet only the name is known.
  if (!exposed.samples.has(metric)) return null;
  const lacking = labels.filter((label) => !known.has(label));
  return lacking.length === 0 ? null : `${metric} has no label ${lacking.join(', ')}, it has ${[...known].join(', ')}`;
}
