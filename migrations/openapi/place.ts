import { concretePath, type Step } from '@strangler/platform/compare/json-path.ts';
import { issueMessage } from '@strangler/platform/http/issue-messages.ts';
import type { z } from 'zod';

/** A description cannot be used; the message names it, the place in it, what was expected and found, and what to do. */
export class ApiDescriptionError extends Error {
  override name = 'ApiDescriptionError';
}

/** A document, and the file or address that it is from. */
export type Document = { value: unknown; from: string };

/** Something in a document, and where it stands. */
export type Place = { value: unknown; path: readonly Step[] };

const mostReferences = 50;

/** What stands at a member or an element; its value is undefined where there is none. */
export const at = ({ value, path }: Place, step: Step): Place => ({
  value:
    value !== null && typeof value === 'object' && Object.hasOwn(value, step) ? Reflect.get(value, step) : undefined,
  path: [...path, step],
});

/** The elements of a list, none where it is none. */
export const elementsOf = (place: Place): Place[] =>
  Array.isArray(place.value) ? place.value.map((_, index) => at(place, index)) : [];

/** The members of an object by name, none where it is none. */
export const membersOf = (place: Place): [name: string, member: Place][] =>
  Object.keys(Object(place.value)).map((name) => [name, at(place, name)]);

/** Refuses a document for what stands at a place of it. @throws ApiDescriptionError always */
export const refuse = ({ from }: Document, { path, value }: Place, expected: string, remedy: string): never => {
  throw new ApiDescriptionError(`${from}: ${concretePath(path)}: ${expected}, found ${shown(value)}; ${remedy}`);
};

/** What a reference stands for, or the place itself. @throws ApiDescriptionError where it leads nowhere */
export const follow = (document: Document, place: Place): Place => {
  let found = place;
  for (let steps = 0; steps < mostReferences; steps += 1) {
    const reference = at(found, '$ref');
    if (typeof reference.value !== 'string') return found;
    if (!reference.value.startsWith('#/')) {
      return refuse(
        document,
        reference,
        'expected a reference within the file, such as "#/components/…"',
        'bundle the description into one file',
      );
    }
    found = reference.value
      .slice(2)
      .split('/')
      .reduce((from, part) => at(from, nameOf(part, from.value)), { value: document.value, path: [] } as Place);
    if (found.value === undefined) {
      return refuse(document, reference, 'expected a reference to something', 'it leads nowhere: add what it names');
    }
  }
  return refuse(document, at(place, '$ref'), 'expected a reference to something', 'it leads in a circle: break it');
};

/**
 * What stands at a place, references followed, in the shape that it must have.
 * @throws ApiDescriptionError naming the first thing that is otherwise
 */
export const readAs = <T>(document: Document, place: Place, shape: z.ZodType<T>): { place: Place; value: T } => {
  const found = follow(document, place);
  const read = shape.safeParse(found.value, { error: issueMessage });
  if (read.success) return { place: found, value: read.data };
  const [issue] = read.error.issues;
  const wrong = (issue?.path ?? []).reduce<Place>((from, step) => at(from, step as Step), found);
  return refuse(document, wrong, issue?.message ?? 'is not valid', 'correct it in the description');
};

/** One part of a JSON pointer (RFC 6901) in a URI's fragment. */
const nameOf = (part: string, within: unknown): Step => {
  let name = part;
  try {
    name = decodeURIComponent(part);
  } catch {
    // A percent sign that stands for itself.
  }
  name = name.replaceAll('~1', '/').replaceAll('~0', '~');
  return Array.isArray(within) && /^\d{1,9}$/.test(name) ? Number(name) : name;
};

const shown = (value: unknown): string => {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
};
