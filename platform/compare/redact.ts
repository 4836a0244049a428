import type { ComparedAnswer, ComparedBody, Effects } from './answer.ts';
import type { Difference } from './compare-answers.ts';
import { isExactNumber } from './exact-json.ts';
import type { Step } from './json-path.ts';
import type { CompareRules, Scope } from './rules.ts';
import { jsonTypeOf } from './scalars.ts';

/** A request as an example keeps it. */
export type KeptRequest = {
  method: string;
  /** With its query; what looks like a secret there is taken out. */
  path: string;
  headers: [name: string, value: string][];
  body: KeptBody;
};

export type KeptBody =
  | Exclude<ComparedBody, { kind: 'json' | 'text' }>
  | { kind: 'json'; value: unknown }
  | { kind: 'text'; text: string }
  /** The beginning of a JSON or text body that is over the bound. */
  | { kind: 'cut'; text: string; bytes: number };

export type KeptAnswer = {
  status: number;
  headers: [name: string, value: string][];
  body: KeptBody;
  latencyMs: number;
  effects: Effects | null;
};

export type RedactBounds = {
  /** Of each body, as JSON or text. */
  maxBodyBytes: number;
  /** Of each value of a difference, as JSON. */
  maxValueBytes: number;
};

export const defaultRedactBounds: RedactBounds = { maxBodyBytes: 8 * 1024, maxValueBytes: 1024 };

const secretMember =
  /pass(word|wd|phrase|code)|secret|token|authori[sz]ation|cookie|credential|api[_-]?key|private[_-]?key|session[_-]?id|signature|card[_-]?(number|no)|cvv|cvc|iban|\bpin\b|otp|ssn/i;
const secretParameter =
  /^(.*(token|secret|password|key|signature|session|credential).*|code|sig|jwt|auth|otp|state|nonce)$/i;
// A JWT's three parts; schemes of Authorization with what follows them.
const secretText = /\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/g;

// Of requests only what bears on the answer is kept, and of that nothing by which somebody is known.
const keptRequestHeaders = new Set([
  'accept',
  'accept-language',
  'content-type',
  'content-encoding',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'range',
  'prefer',
]);
const droppedAnswerHeader =
  /^(set-cookie2?|authorization|proxy-.*|x-strangler-.*|authentication-info|connection|keep-alive|transfer-encoding)$|token|secret|api-?key/i;

/** A request without cookies, tokens and credentials, its body by the rules, bounded. */
export const redactRequest = (
  request: {
    method: string;
    path: string;
    headers: readonly (readonly [name: string, value: string])[];
    body: ComparedBody;
  },
  rules: CompareRules,
  bounds: RedactBounds = defaultRedactBounds,
): KeptRequest => ({
  method: request.method,
  path: redactPath(request.path),
  headers: request.headers
    .map(([name, value]) => [name.toLowerCase(), redactText(value)] as [string, string])
    .filter(([name]) => keptRequestHeaders.has(name)),
  body: redactBody(request.body, rules, bounds),
});

/** An answer without cookies and tokens, its body and events by the rules, bounded. */
export const redactAnswer = (
  answer: ComparedAnswer,
  rules: CompareRules,
  bounds: RedactBounds = defaultRedactBounds,
): KeptAnswer => ({
  status: answer.status,
  headers: answer.headers
    .map(([name, value]) => [name.toLowerCase(), bounded(redactLink(value), bounds.maxValueBytes)] as [string, string])
    .filter(([name]) => !droppedAnswerHeader.test(name))
    .slice(0, 50),
  body: redactBody(answer.body, rules, bounds),
  latencyMs: Math.round(answer.latencyMs * 10) / 10,
  effects: answer.effects === null ? null : redactEffects(answer.effects, rules, bounds),
});

/** A difference whose values are redacted and bounded as the answers are. */
export const redactDifference = (
  difference: Difference & { place?: readonly Step[] },
  rules: CompareRules,
  bounds: RedactBounds = defaultRedactBounds,
): Difference => {
  const { scope, place } = placeOf(difference.at);
  const show = (value: unknown): unknown =>
    value === undefined ? undefined : fit(redactValue(value, rules, scope, [...place]), bounds.maxValueBytes);
  return {
    path: difference.path,
    at: difference.at,
    kind: difference.kind,
    monolith: show(difference.monolith),
    service: show(difference.service),
  };
};

/** A JSON value of which the redacted paths and whatever is named like a secret keep no more than kind and length. */
export const redactValue = (value: unknown, rules: CompareRules, scope: Scope, place: Step[] = []): unknown => {
  const name = place.at(-1);
  if (typeof name === 'string' && secretMember.test(name)) return instead(value);
  if (rules.isRedacted(scope, place)) return instead(value);
  const within = (step: Step, member: unknown): unknown => {
    place.push(step);
    const redacted = redactValue(member, rules, scope, place);
    place.pop();
    return redacted;
  };
  if (typeof value === 'string') return redactText(value);
  if (Array.isArray(value)) return value.map((element, index) => within(index, element));
  if (value !== null && typeof value === 'object' && !isExactNumber(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, within(key, member)]));
  }
  return value;
};

/** The path and query of a request, without what looks like a secret in it. */
export const redactPath = (path: string): string => {
  const [before = '', query] = cutAt(path, '?');
  if (query === undefined) return redactText(before);
  const kept = query.split('&').map((pair) => {
    const [name = '', value] = cutAt(pair, '=');
    return value !== undefined && secretParameter.test(name) ? `${name}=${redactedText}` : redactText(pair);
  });
  return `${redactText(before)}?${kept.join('&')}`;
};

/** What stands in a path instead of a secret: a request that holds it cannot be sent again. */
export const redactedText = '[redacted]';

const instead = (value: unknown): unknown => {
  const type = jsonTypeOf(value);
  if (type === 'null' || type === 'boolean') return value;
  if (typeof value === 'string') return `[redacted: text of ${value.length}]`;
  if (Array.isArray(value)) return `[redacted: array of ${value.length}]`;
  return `[redacted: ${type}]`;
};

const redactText = (text: string): string => text.replace(secretText, redactedText);

const redactLink = (value: string): string => (/[?&]/.test(value) ? redactPath(value) : redactText(value));

const redactBody = (body: ComparedBody, rules: CompareRules, { maxBodyBytes }: RedactBounds): KeptBody => {
  if (body.kind === 'json') {
    const value = redactValue(body.value, rules, { in: 'body' });
    const text = JSON.stringify(value) ?? '';
    return Buffer.byteLength(text) <= maxBodyBytes ? { kind: 'json', value } : cutBody(text, maxBodyBytes);
  }
  if (body.kind === 'text') {
    const text = redactForm(redactText(body.text));
    return Buffer.byteLength(text) <= maxBodyBytes ? { kind: 'text', text } : cutBody(text, maxBodyBytes);
  }
  return body;
};

/** Members of a form's body that are named like a secret. */
const redactForm = (text: string): string =>
  /^[^\s=&]+=[^\s&]*(&[^\s=&]+=[^\s&]*)*$/.test(text) ? redactPath(`?${text}`).slice(1) : text;

const redactEffects = ({ events }: Effects, rules: CompareRules, { maxValueBytes }: RedactBounds): Effects => ({
  events: events.slice(0, 20).map(({ type, key, payload }) => ({
    type: bounded(type, 200),
    key: bounded(redactText(key), 200),
    payload: fit(redactValue(payload, rules, { in: 'event', type }), maxValueBytes),
  })),
});

const cutBody = (text: string, maxBytes: number): KeptBody => ({
  kind: 'cut',
  text: bounded(text, maxBytes),
  bytes: Buffer.byteLength(text),
});

const fit = (value: unknown, maxBytes: number): unknown => {
  const text = JSON.stringify(value) ?? '';
  return Buffer.byteLength(text) <= maxBytes ? value : bounded(text, maxBytes);
};

/** At most `maxBytes` of UTF-8, no character cut in two. */
const bounded = (text: string, maxBytes: number): string => {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  return `${bytes.subarray(0, maxBytes).toString('utf8').replace(/�+$/, '')}… (${bytes.length} bytes)`;
};

const cutAt = (text: string, mark: string): [string, string?] => {
  const at = text.indexOf(mark);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
};

const stepForm = /\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/g;

/** The place that a concrete path names, so that a secret told as a difference is known for one. */
const placeOf = (at: string): { scope: Scope; place: Step[] } => {
  const event = /^event (\S+)/.exec(at);
  const scope: Scope = event === null ? { in: 'body' } : { in: 'event', type: event[1]! };
  const path = at.slice(at.indexOf('$') + 1);
  if (!at.includes('$')) {
    // A header is known by its name.
    return { scope, place: at.startsWith('header ') ? [at.slice('header '.length)] : [] };
  }
  const place = [...path.matchAll(stepForm)].map(([, name, index, quoted]): Step => {
    if (index !== undefined) return Number(index);
    return name ?? (JSON.parse(quoted!) as string);
  });
  return { scope, place };
};
