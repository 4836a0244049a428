/** Which packages a server needs, out of those its dependencies name. */

/** One `Depends:` group: any one of these does. Providers of a virtual package count as alternatives of it. */
export type Alternatives = string[];

export type DependencyGraph = Map<string, Alternatives[]>;

/**
 * Parses what `apt-cache depends --recurse --important` prints:
 *
 *     rabbitmq-server
 *      |Depends: erlang-base           (the bar: this one or the next)
 *       Depends: <erlang-base-hipe>    (virtual)
 *       Depends: lsb-base
 *         sysvinit-utils               (provides lsb-base)
 */
export function parseDepends(text: string): DependencyGraph {
  const graph: DependencyGraph = new Map();
  let groups: Alternatives[] | undefined;
  let group: Alternatives | undefined;
  let open = false;
  for (const line of text.split('\n')) {
    const dependency = /^ ([ |])(?:Pre)?Depends: (\S+)$/.exec(line);
    const provider = /^ {4}(\S+)$/.exec(line);
    if (dependency !== null && groups !== undefined) {
      const [, bar, name = ''] = dependency;
      if (!open || group === undefined) {
        group = [];
        groups.push(group);
      }
      group.push(name);
      open = bar === '|';
    } else if (provider !== null && group !== undefined) {
      group.push(provider[1] ?? '');
    } else if (/^\S/.test(line)) {
      groups = [];
      group = undefined;
      open = false;
      graph.set(line.trim(), groups);
    }
  }
  return graph;
}

export type ClosureRules = {
  /** Whether a package is of use to a program that is merely run: libraries are, installers and daemons' helpers not. */
  keep(name: string): boolean;
  /** Packages that need not be downloaded because the system has them. */
  present: ReadonlySet<string>;
};

/**
 * The roots and everything they need by `rules`, in alphabetical order. Of several alternatives the first that is
 * present or chosen already is taken, else the first that is worth keeping. What is not worth keeping is left out
 * together with all that only it needs.
 */
export function chooseClosure(graph: DependencyGraph, roots: readonly string[], rules: ClosureRules): string[] {
  const chosen = new Set<string>();
  const queue = [...roots];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (chosen.has(name)) continue;
    if (!graph.has(name)) throw new Error(`package ${name} is not in the package lists`);
    chosen.add(name);
    for (const alternatives of graph.get(name) ?? []) {
      if (alternatives.some((one) => rules.present.has(one) || chosen.has(one) || queue.includes(one))) continue;
      const pick = alternatives.find((one) => graph.has(one) && !one.startsWith('<') && rules.keep(one));
      if (pick !== undefined) queue.push(pick);
    }
  }
  return [...chosen].sort();
}
