import { STATUS_CODES } from 'node:http';
import { bytes, durationMs } from '@strangler/platform/config.ts';
import { Counter, type Registry } from 'prom-client';
import { z } from 'zod';
import type { OutgoingHeaders, OutgoingRequest } from '../../accept/outgoing.ts';
import { policyKind } from '../kind.ts';
import type { AskAnother, InterceptedRequest, Interception, Policy } from '../policy.ts';
import { problemAnswer } from '../problem-answer.ts';
import { type JoinedPart, joinParts, partialMember, pointerPattern } from './join-parts.ts';
import { partTarget, readParams } from './part-target.ts';
import { readPart } from './read-part.ts';

/** Names the parts that an answer is without. */
export const partialHeader = 'X-Partial';

const partSettings = z.strictObject({
  path: z
    .string()
    .regex(/^\/[^\s#]*$/, 'must be a path such as /api/products/{id}')
    .describe('What to ask for: {id} stands for a parameter of the route, {?page} for one of the query.'),
  required: z.boolean().default(true).describe('Whether there is no answer without it. Default: true.'),
  timeout: durationMs({ min: 1, max: 60_000 }).default(2_000).describe('How long it may take. Default: 2s.'),
  take: z
    .string()
    .regex(pointerPattern, 'must be a JSON Pointer (RFC 6901) such as /items/0, or empty for the whole')
    .default('')
    .describe('JSON Pointer to what is taken of its answer. Default: all of it.'),
  maxBody: bytes({ min: 1, max: 16 * 1024 ** 2 })
    .default(1024 ** 2)
    .describe('Its answer may not be larger. Default: 1MiB.'),
});

export const aggregateSettings = z
  .strictObject({
    parts: z
      .record(
        z
          .string()
          .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 letters, digits, _ and -, starting with a letter'),
        partSettings,
      )
      .refine((parts) => Object.keys(parts).length >= 1 && Object.keys(parts).length <= 16, 'must be 1 to 16 parts')
      .describe('Parts by the names that they have in the answer.'),
  })
  .describe(
    'Answers GET with one JSON object made of several upstream answers, each decided about and forwarded like any request.',
  );

/** What belongs to the client's one request, and would be wrong of its parts. */
const notForParts: ReadonlySet<string> = new Set([
  ...['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range', 'range'],
  ...['accept', 'accept-encoding', 'content-length', 'content-type', 'transfer-encoding', 'te', 'trailer'],
]);

function partOf(outgoing: OutgoingRequest, target: string): OutgoingRequest {
  const headers: OutgoingHeaders = {};
  for (const [key, value] of Object.entries(outgoing.headers)) {
    if (!notForParts.has(key.toLowerCase())) headers[key] = value;
  }
  headers.Accept = 'application/json';
  headers['Accept-Encoding'] = 'identity';
  return { ...outgoing, method: 'GET', target, headers, body: { kind: 'none' }, kept: null, tap: null, filter: null };
}

/** One request of a client, several of its upstreams; who asks is told to each of them as it is to one. */
export const aggregate = policyKind({
  schema: aggregateSettings,
  create(name, { parts }, { registry }): Policy {
    const missed = missingPartsCounter(registry);

    async function intercept({ request, askAnother, res }: InterceptedRequest): Promise<Interception> {
      const { facts, outgoing, route } = request;
      if (facts.method !== 'GET' && facts.method !== 'HEAD') return notAllowed;
      const params = readParams(route, facts.path) ?? {};
      const query = outgoing.target.includes('?') ? outgoing.target.slice(outgoing.target.indexOf('?') + 1) : '';
      let setCookie: string | null = null;
      const asking: AskAnother = async (asked) => {
        const answer = await askAnother(asked);
        // One that nobody knows yet gets one name, by which all parts are on their sides the next time.
        if (answer.kind === 'answer') setCookie ??= answer.decision.setCookie;
        return answer;
      };
      const gone = new AbortController();
      const onGone = (): void => gone.abort();
      res.once('close', onGone);
      try {
        const joined = await Promise.all(
          Object.entries(parts).map(async ([part, settings]): Promise<JoinedPart> => {
            const target = partTarget(settings.path, params, query);
            const { required } = settings;
            if (target === null)
              return { name: part, required, result: { kind: 'missing', why: 'status', status: 404 } };
            const result = await readPart(
              asking,
              {
                outgoing: partOf(outgoing, target),
                facts: { ...facts, method: 'GET', path: target.split('?')[0]! },
                ...{ compare: true, how: 'live' as const, signal: gone.signal },
              },
              { timeoutMs: settings.timeout, maxBytes: settings.maxBody, pointer: settings.take },
            );
            if (result.kind === 'missing') missed.inc({ policy: name, part, why: result.why });
            return { name: part, required, result };
          }),
        );
        return withCookie(answerOf(joined), setCookie);
      } finally {
        res.off('close', onGone);
      }
    }
    return { name, intercept };
  },
});

const titles: Readonly<Record<number, string>> = { 404: 'Not found', 502: 'Bad gateway', 504: 'Gateway timeout' };

type Answer = Extract<Interception, { kind: 'answer' }>;

function answerOf(parts: readonly JoinedPart[]): Answer {
  const joined = joinParts(parts);
  if (joined.kind === 'none') {
    const { part, why, status, upstreamStatus, headers } = joined;
    const found = upstreamStatus === null ? why : `${why} ${upstreamStatus}`;
    return problemAnswer({
      status,
      title: titles[status] ?? STATUS_CODES[status] ?? 'Bad gateway',
      detail: `Expected an answer for the part "${part}" of this, found none (${found}).`,
      headers: { ...headers, 'Cache-Control': 'no-store' },
    });
  }
  const body = Buffer.from(JSON.stringify(joined.body));
  const rawHeaders = ['Content-Type', 'application/json; charset=utf-8', 'Content-Length', `${body.length}`];
  // What is not whole must not be kept by anybody.
  if (joined.partial.length > 0) rawHeaders.push(partialHeader, joined.partial.join(', '), 'Cache-Control', 'no-store');
  return { kind: 'answer', head: { status: 200, rawHeaders }, body };
}

const withCookie = (answer: Answer, setCookie: string | null): Answer => {
  if (setCookie === null) return answer;
  const { status, rawHeaders } = answer.head;
  return { ...answer, head: { status, rawHeaders: [...rawHeaders, 'Set-Cookie', setCookie] } };
};

const notAllowed = problemAnswer({
  status: 405,
  title: 'Method not allowed',
  detail: `This is made of several answers and can only be read; expected GET or HEAD. Members are parts, and ${partialMember}.`,
  headers: { Allow: 'GET, HEAD' },
});

/** One counter for all policies of the kind. */
export const missingPartsCounter = (registry: Registry): Counter<'policy' | 'part' | 'why'> => {
  const name = 'strangler_aggregate_missing_parts_total';
  const present = registry.getSingleMetric(name) as Counter<'policy' | 'part' | 'why'> | undefined;
  return (
    present ??
    new Counter({
      name,
      help: 'Parts of aggregated answers that had no value, by policy, part and why.',
      labelNames: ['policy', 'part', 'why'],
      registers: [registry],
    })
  );
};
