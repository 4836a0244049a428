import { type ComparedAnswer, type ComparedBody, type Effects, readBody } from '@strangler/platform/compare/answer.ts';

/** An answer as it came over the wire. */
export type RawAnswer = {
  status: number;
  /** Names in lower case. */
  headers: readonly (readonly [name: string, value: string])[];
  body: Buffer;
  extent: 'whole' | 'too-large' | 'streamed';
  latencyMs: number;
};

export const comparedAnswer = (raw: RawAnswer, effects: Effects | null = null): ComparedAnswer => ({
  ...headOf(raw, effects),
  body: bodyOf(raw),
});

/**
 * The same for two answers, where it can save itself the work: bodies that are equal byte by byte, and labelled alike, are
 * equal however they are read.
 */
export const comparedAnswers = (
  one: RawAnswer,
  other: RawAnswer,
  [effectsOfOne, effectsOfOther]: readonly [Effects | null, Effects | null] = [null, null],
): [ComparedAnswer, ComparedAnswer] =>
  sameBytes(one, other)
    ? [
        { ...headOf(one, effectsOfOne), body: nothing },
        { ...headOf(other, effectsOfOther), body: nothing },
      ]
    : [comparedAnswer(one, effectsOfOne), comparedAnswer(other, effectsOfOther)];

const nothing: ComparedBody = { kind: 'none' };

const headOf = ({ status, headers, latencyMs }: RawAnswer, effects: Effects | null) => ({
  status,
  headers,
  latencyMs,
  effects,
});

const bodyOf = (raw: RawAnswer): ComparedBody => {
  if (raw.extent !== 'whole') return { kind: 'skipped', why: raw.extent };
  const contentType = headerOf(raw, 'content-type');
  const contentEncoding = headerOf(raw, 'content-encoding');
  return readBody(
    {
      ...(contentType === undefined ? {} : { contentType }),
      ...(contentEncoding === undefined ? {} : { contentEncoding }),
    },
    raw.body,
  );
};

const sameBytes = (one: RawAnswer, other: RawAnswer): boolean =>
  one.extent === 'whole' &&
  other.extent === 'whole' &&
  headerOf(one, 'content-encoding') === headerOf(other, 'content-encoding') &&
  headerOf(one, 'content-type') === headerOf(other, 'content-type') &&
  one.body.equals(other.body);

const headerOf = ({ headers }: RawAnswer, wanted: string): string | undefined => {
  for (const [name, value] of headers) if (name === wanted) return value;
  return undefined;
};
