import type { ComparedAnswer } from './answer.ts';
import { type IdentityMap, sameButForIds } from './identities.ts';

export type HeaderDifference = { name: string; monolith: string | null; service: string | null };

/** Headers that are lists whose order means nothing; their members are compared without regard to case but for `link`. */
const lists = new Set([
  'vary',
  'cache-control',
  'allow',
  'accept-ranges',
  'access-control-expose-headers',
  'link',
  'www-authenticate',
]);
const caseMatters = new Set(['link', 'www-authenticate']);

/** Compares the chosen headers, each by what its value means. @param names in lower case */
export const compareHeaders = (
  monolith: ComparedAnswer['headers'],
  service: ComparedAnswer['headers'],
  names: readonly string[],
  identities: IdentityMap | null,
): HeaderDifference[] => {
  const differences: HeaderDifference[] = [];
  for (const name of names) {
    const [ours, theirs] = [fieldOf(monolith, name), fieldOf(service, name)];
    if (ours === theirs) continue;
    const same =
      ours !== null &&
      theirs !== null &&
      (meaningOf(name, ours) === meaningOf(name, theirs) ||
        (identities !== null && sameLinks(name, ours, theirs, identities)));
    if (!same) differences.push({ name, monolith: ours, service: theirs });
  }
  return differences;
};

/** Several lines of one name are one list (RFC 9110 §5.2). */
const fieldOf = (headers: ComparedAnswer['headers'], wanted: string): string | null => {
  const values = headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value.trim());
  return values.length === 0 ? null : values.join(', ');
};

/** One text for all values that mean the same. */
const meaningOf = (name: string, value: string): string => {
  if (name === 'content-type') return mediaType(value);
  if (!lists.has(name)) return value;
  const members = splitOutside(value, ',').map((member) => parameters(member, !caseMatters.has(name)));
  return [...new Set(members)].sort().join(', ');
};

/** Type and parameters, whose order means nothing; the names' case and that of a charset neither (RFC 9110 §8.3). */
const mediaType = (value: string): string => {
  const [type = '', ...rest] = splitOutside(value, ';');
  const named = rest.map((parameter) => {
    const [name = '', text = ''] = cut(parameter, '=');
    const lower = name.toLowerCase();
    return `${lower}=${lower === 'charset' ? unquote(text).toLowerCase() : unquote(text)}`;
  });
  return [type.toLowerCase(), ...named.sort()].join(';');
};

const parameters = (member: string, lowerCase: boolean): string => {
  const [first = '', ...rest] = splitOutside(member, ';');
  const spell = (text: string): string => {
    const [name, value] = cut(text, '=');
    const spelt = lowerCase ? name.toLowerCase() : name;
    return value === undefined ? spelt : `${spelt}=${lowerCase ? unquote(value).toLowerCase() : unquote(value)}`;
  };
  // A link's target holds what it likes, "=" included.
  return [first.startsWith('<') ? first : spell(first), ...rest.map(spell).sort()].join(';');
};

/** Splits at marks that are in neither quotes nor angle brackets; empty parts are none. */
const splitOutside = (text: string, mark: string): string[] => {
  const parts: string[] = [];
  let part = '';
  let within: '"' | '>' | null = null;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at]!;
    if (within === null && letter === mark) {
      parts.push(part);
      part = '';
      continue;
    }
    if (within === '"' && letter === '\\') {
      part += letter + (text[at + 1] ?? '');
      at += 1;
      continue;
    }
    if (within === null && (letter === '"' || letter === '<')) within = letter === '"' ? '"' : '>';
    else if (within === letter) within = null;
    part += letter;
  }
  parts.push(part);
  return parts.map((one) => one.trim()).filter((one) => one !== '');
};

const cut = (text: string, mark: string): [string, string?] => {
  const at = text.indexOf(mark);
  return at === -1 ? [text.trim()] : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
};

const unquote = (text: string): string =>
  text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;

const sameLinks = (name: string, ours: string, theirs: string, identities: IdentityMap): boolean => {
  if (name === 'location' || name === 'content-location') return sameButForIds(ours, theirs, identities);
  return false;
};
