/** One step into a JSON value: a member's name or an element's place. */
export type Step = string | number;

/** One step of a pattern: a name, a place, `*` (any member), `[*]` (any element) or `..` (any number of steps). */
export type PatternStep = { name: string } | { index: number } | 'any-member' | 'any-element' | 'any-depth';

export type JsonPattern = readonly PatternStep[];

const plainName = /^[A-Za-z_][A-Za-z0-9_-]*/;
// Ids as names of members: what differs from object to object, so that no group of differences is named by it.
const idName =
  /^(\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24,64}|[0-9A-HJKMNP-TV-Z]{26})$/i;

/** A pattern's text is not one; the message says what was expected and found. */
export class JsonPathError extends Error {
  override name = 'JsonPathError';
}

/**
 * Reads a pattern such as `$.items[*].price`, `$["a b"].*`, `$..etag` or `$[0]`.
 * @throws JsonPathError
 */
export const parseJsonPattern = (text: string): JsonPattern => {
  if (!text.startsWith('$')) throw expected(text, 0);
  const steps: PatternStep[] = [];
  let at = 1;
  while (at < text.length) {
    const rest = text.slice(at);
    const quoted = /^\[("(?:[^"\\]|\\.)*")\]/.exec(rest);
    const index = /^\[(\d{1,9})\]/.exec(rest);
    if (quoted !== null) {
      steps.push({ name: readQuoted(quoted[1]!, text, at) });
      at += quoted[0].length;
    } else if (index !== null) {
      steps.push({ index: Number(index[1]) });
      at += index[0].length;
    } else if (rest.startsWith('[*]')) {
      steps.push('any-element');
      at += 3;
    } else if (rest.startsWith('.')) {
      at += 1;
      if (text[at] === '.') {
        steps.push('any-depth');
        at += 1;
        if (text[at] === '[') continue;
      }
      if (text[at] === '*') {
        steps.push('any-member');
        at += 1;
        continue;
      }
      const name = plainName.exec(text.slice(at))?.[0];
      if (name === undefined) throw expected(text, at);
      steps.push({ name });
      at += name.length;
    } else {
      throw expected(text, at);
    }
  }
  return steps;
};

/** Whether a pattern names exactly this place. */
export const matchesPlace = (pattern: JsonPattern, place: readonly Step[]): boolean =>
  matchFrom(pattern, 0, place, 0, false);

/** Whether a pattern names this place or something that holds it. */
export const coversPlace = (pattern: JsonPattern, place: readonly Step[]): boolean =>
  matchFrom(pattern, 0, place, 0, true);

/** The place as a path of this very value: `$.items[3].price`. */
export const concretePath = (place: readonly Step[]): string =>
  `$${place.map((step) => (typeof step === 'number' ? `[${step}]` : memberPath(step))).join('')}`;

/** The place as all values of its kind have it: `$.items[*].price`; members whose names are ids become `*`. */
export const templatedPath = (place: readonly Step[]): string =>
  `$${place.map((step) => (typeof step === 'number' ? '[*]' : idName.test(step) ? '.*' : memberPath(step))).join('')}`;

const matchFrom = (
  pattern: JsonPattern,
  from: number,
  place: readonly Step[],
  at: number,
  covering: boolean,
): boolean => {
  if (from === pattern.length) return covering || at === place.length;
  const wanted = pattern[from]!;
  if (wanted === 'any-depth') {
    for (let skipTo = at; skipTo <= place.length; skipTo += 1) {
      if (matchFrom(pattern, from + 1, place, skipTo, covering)) return true;
    }
    return false;
  }
  const step = place[at];
  return step !== undefined && matchesStep(wanted, step) && matchFrom(pattern, from + 1, place, at + 1, covering);
};

const matchesStep = (wanted: Exclude<PatternStep, 'any-depth'>, step: Step): boolean => {
  if (wanted === 'any-member') return typeof step === 'string';
  if (wanted === 'any-element') return typeof step === 'number';
  return 'name' in wanted ? wanted.name === step : wanted.index === step;
};

const memberPath = (name: string): string =>
  plainName.exec(name)?.[0] === name ? `.${name}` : `[${JSON.stringify(name)}]`;

const readQuoted = (quoted: string, text: string, at: number): string => {
  try {
    return JSON.parse(quoted);
  } catch {
    throw expected(text, at);
  }
};

const expected = (text: string, at: number): JsonPathError =>
  new JsonPathError(
    `expected a JSON path such as $.items[*].price, $["a name"], $.* or $..etag, found ${JSON.stringify(text)}${at === 0 ? '' : `, which goes wrong at character ${at + 1}`}`,
  );
