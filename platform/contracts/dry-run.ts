import { z } from 'zod';

/**
 * On a request, with the value `1`: do all of it and undo it. Set by the proxy, which drops a client's own, and by whoever
 * compares the two sides in a test.
 */
export const dryRunHeader = 'x-strangler-dry-run';

/** The media type of the answer to a dry run, so that it can never be taken for the answer to a request. */
export const dryRunMediaType = 'application/vnd.strangler.dry-run+json';

/**
 * GET it: 200 with `{"dryRun":true}` from a service that keeps what is said here. Only such a service may be sent a dry run:
 * any other would do the write.
 */
export const dryRunProbePath = '/.well-known/strangler-dry-run';

/** On a request to the monolith, with the value `1`: tell in the answer which domain events the request has left. */
export const tellEffectsHeader = 'x-strangler-tell-effects';

/** On its answer: base64url of the JSON of `Effects`; left out where that is longer than `effectsMaxBytes`. */
export const effectsHeader = 'x-strangler-effects';

/** The most bytes of that header's value. */
export const effectsMaxBytes = 8 * 1024;

/** A domain event, as whoever listens would hear it. */
const tellableEvent = z.object({ type: z.string(), key: z.string(), payload: z.unknown() });
export type ToldEvent = { type: string; key: string; payload: unknown };

const effects = z.object({ events: z.array(tellableEvent) });

/** What a request does to the world beside its rows, in the order in which it does it. */
export type ToldEffects = { events: ToldEvent[] };

const dryRunAnswer = z.object({
  answer: z.object({
    status: z.int().min(100).max(599),
    headers: z.array(z.tuple([z.string(), z.string()])),
    bodyBase64: z.base64(),
  }),
  effects,
});

/** What a dry run is answered with, status 200: the answer that the request would have had, and its effects. */
export type DryRunAnswer = {
  answer: { status: number; headers: [name: string, value: string][]; bodyBase64: string };
  effects: ToldEffects;
};

/** Undefined where the text is not the answer to a dry run. */
export const parseDryRunAnswer = (text: string): DryRunAnswer | undefined => {
  const parsed = dryRunAnswer.safeParse(parseJson(text));
  return parsed.success ? (parsed.data as DryRunAnswer) : undefined;
};

/** The value of `effectsHeader`; undefined where it would be too long. */
export const encodeEffects = (told: ToldEffects): string | undefined => {
  const value = Buffer.from(JSON.stringify(told)).toString('base64url');
  return value.length <= effectsMaxBytes ? value : undefined;
};

/** Undefined where there is none, or it is damaged or too long: the effects are not told then. */
export const decodeEffects = (value: string | string[] | undefined): ToldEffects | undefined => {
  if (typeof value !== 'string' || value.length > effectsMaxBytes) return undefined;
  const parsed = effects.safeParse(parseJson(Buffer.from(value, 'base64url').toString('utf8')));
  return parsed.success ? (parsed.data as ToldEffects) : undefined;
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
