import { headerOf, type SideAnswer } from '../../http/side.ts';

/** One value that both sides have told, each its own, and where a scenario finds it. */
export type Told = { left: unknown; right: unknown; template: string };

/** Something that an id in a path may name, with the ids of what it is part of. */
export type Resource = { id: Told; of: readonly Told[] };

/** Ids that are the same on both sides, by the path of what holds them: `{ '/api/inventory': [1, 2] }`. */
export type KnownIds = Readonly<Record<string, readonly (number | string)[]>>;

/** A page that another follows. */
export type Page = { operation: number; query: Readonly<Record<string, Told>>; cursor: Told };

/** What a sequence has heard so far. Everything is remembered from both sides, so that each can be told its own. */
export type Memory = {
  /** By the path of what holds them: `/api/products`, `/api/products/{id}/reviews`. The last heard of comes last. */
  resources(collection: string): readonly Resource[];
  /** Values by the name of the member under which they stood; `within`: in answers of that path only. */
  values(name: string, within?: string): readonly Told[];
  /** The entity tags of a path, the newest last. */
  tags(path: string): readonly Told[];
  pages(operation: number): readonly Page[];
  hear(heard: Heard): void;
};

export type Heard = {
  /** From 1. */
  step: number;
  method: string;
  /** As the description has it. */
  template: string;
  /** As it was sent to the left side, without the query; and with it. */
  path: string;
  target: string;
  operation: number;
  query: Readonly<Record<string, Told>>;
  ids: readonly Told[];
  answers: readonly [SideAnswer, SideAnswer];
};

const mostOfAName = 300;
const cursorMember = /^(next_?cursor|cursor|next_?page_?token)$/i;

/** @param known ids of things that no list tells of, by the path of what holds them */
export function createMemory(known: KnownIds = {}): Memory {
  const resources = new Map<string, Resource[]>();
  const values = new Map<string, Told[]>();
  const tags = new Map<string, Told[]>();
  const pages = new Map<number, Page[]>();
  const add = <K, T>(to: Map<K, T[]>, key: K, value: T): void => {
    const list = to.get(key) ?? [];
    if (list.length < mostOfAName) list.push(value);
    to.set(key, list);
  };

  /** Ids of things in an answer: of the thing itself, or of those in a list of them, at whatever depth. */
  const hearThings = (
    collection: string,
    { of, step, from }: { of: readonly Told[]; step: number; from: string },
    [left, right]: readonly [unknown, unknown],
    at: string,
    depth = 0,
  ): void => {
    if (depth > 8 || typeof left !== 'object' || left === null || typeof right !== 'object' || right === null) return;
    const theirs = right as Record<string, unknown>;
    for (const [name, value] of Object.entries(left)) {
      const other = theirs[name];
      const path = Array.isArray(left) ? `${at}[${name}]` : `${at}.${name}`;
      if (typeof value === 'object' && value !== null) {
        // A thing within a thing is another kind of thing, unless it is one of a list of the same.
        hearThings(
          Array.isArray(left) || Array.isArray(value) ? collection : '',
          { of, step, from },
          [value, other],
          path,
          depth + 1,
        );
      } else if (value !== null && other !== undefined) {
        const told = { left: value, right: other, template: `\${${step}:${path}}` };
        if (name === 'id' && collection !== '' && !Array.isArray(left)) addResource(collection, { id: told, of });
        else if (!cursorMember.test(name)) {
          add(values, name, told);
          add(values, `${from} ${name}`, told);
        }
      }
    }
  };

  const addResource = (collection: string, resource: Resource): void => {
    const list = resources.get(collection) ?? [];
    const known = list.findIndex(({ id }) => id.left === resource.id.left);
    // Heard of again: the first place where it stood is kept, but it comes last.
    const kept = known < 0 ? resource : (list.splice(known, 1)[0] ?? resource);
    list.push(kept);
    resources.set(collection, list.slice(-mostOfAName));
  };

  for (const [collection, ids] of Object.entries(known)) {
    for (const id of ids) addResource(collection, { id: { left: id, right: id, template: String(id) }, of: [] });
  }

  return {
    resources: (collection) => resources.get(collection) ?? [],
    values: (name, within) => values.get(within === undefined ? name : `${within} ${name}`) ?? [],
    tags: (path) => tags.get(path) ?? [],
    pages: (operation) => pages.get(operation) ?? [],
    hear({ step, method, template, path, target, operation, query, ids, answers }) {
      const [left, right] = answers;
      if (left.status >= 300) return;
      const collection = method === 'POST' || !/\}$/.test(template) ? template : template.replace(/\/\{[^}]+\}$/, '');
      const of = collection === template ? ids : ids.slice(0, -1);
      const from = template.replace(/\/\{[^}]+\}$/, '');
      hearThings(collection, { of, step, from }, [left.json, right.json], '$');
      const [tag, other] = [headerOf(left, 'etag'), headerOf(right, 'etag')];
      if (tag !== undefined && other !== undefined) {
        const told = { left: tag, right: other, template: `\${${step}:header etag}` };
        add(tags, method === 'POST' ? (headerOf(left, 'location') ?? path) : target, told);
      }
      const [page, theirs] = [cursorOf(left.json), cursorOf(right.json)];
      if (page !== undefined && theirs !== undefined) {
        const cursor = { left: page[1], right: theirs[1], template: `\${${step}:$.${page[0]}}` };
        add(pages, operation, { operation, query, cursor });
      }
    },
  };
}

function cursorOf(json: unknown): readonly [string, string] | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const found = Object.entries(json).find(([name, value]) => cursorMember.test(name) && typeof value === 'string');
  return found as [string, string] | undefined;
}
