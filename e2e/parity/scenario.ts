import { differences } from './compare.ts';
import { type Answer, headerOf, type RequestSpec, type Side } from './exchange.ts';

/** Who a scenario may speak as. Tokens that are good, and tokens that are not. */
export type Tokens = Record<'admin' | 'customer' | 'otherCustomer' | 'third' | 'nobody' | BadToken, string>;
export type BadToken =
  | 'expired'
  | 'otherIssuer'
  | 'otherAudience'
  | 'unknownKey'
  | 'forged'
  | 'noRole'
  | 'oddRole'
  | 'noExpiry';

export type Told = {
  tokens: Tokens;
  /** What this side has answered so far. */
  answers: readonly Answer[];
  /** The answer before. */
  last: Answer | undefined;
};

/** One request, or a list that is read to its end. */
export type Step =
  | {
      request:
        | RequestSpec
        | ((told: Told) => RequestSpec) /** What the monolith must answer, or the scenario is wrong. */;
      status: number;
    }
  | { pages: string };

export type Scenario = {
  name: string;
  steps: readonly Step[];
};

/** A difference between two sides, or an answer that the scenario did not mean. */
export class ParityError extends Error {
  override name = 'ParityError';
}

const MOST_PAGES = 500;

/** Runs a scenario on one side. Throws ParityError when a step is not answered with its status. */
export async function runScenario(
  side: Side,
  { steps }: Scenario,
  tokens: Tokens,
): Promise<{ request: RequestSpec; answer: Answer }[]> {
  const done: { request: RequestSpec; answer: Answer }[] = [];
  const send = async (request: RequestSpec, status: number): Promise<Answer> => {
    const answer = await side.send(request);
    done.push({ request, answer });
    if (answer.status === status) return answer;
    throw new ParityError(
      `${side.name}: ${describe(request)}: expected ${status}, found ${answer.status}\n    ${answer.text.slice(0, 500)}`,
    );
  };
  for (const step of steps) {
    if ('pages' in step) {
      await readPages(step.pages, (request) => send(request, 200));
      continue;
    }
    const told = { tokens, answers: done.map(({ answer }) => answer), last: done.at(-1)?.answer };
    await send(typeof step.request === 'function' ? step.request(told) : step.request, step.status);
  }
  return done;
}

async function readPages(path: string, send: (request: RequestSpec) => Promise<Answer>): Promise<void> {
  let cursor: string | null = null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const joined: string = cursor === null ? path : `${path}${path.includes('?') ? '&' : '?'}cursor=${cursor}`;
    cursor = ((await send({ path: joined })).json as { next_cursor: string | null }).next_cursor;
    if (cursor === null) return;
  }
  throw new ParityError(`${path}: expected an end within ${MOST_PAGES} pages, found none`);
}

/** Runs a scenario on both sides and compares every answer whole. Throws ParityError with a readable list of differences. */
export async function compareSides(
  [left, right]: readonly [Side, Side],
  scenario: Scenario,
  tokens: Tokens,
  options: { ignoreHeader?: (name: string) => boolean } = {},
): Promise<{ requests: number }> {
  const [a, b] = await Promise.allSettled([runScenario(left, scenario, tokens), runScenario(right, scenario, tokens)]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  if (a.value.length !== b.value.length) {
    throw new ParityError(
      `${scenario.name}: ${left.name} was asked ${a.value.length} requests, ${right.name} ${b.value.length}`,
    );
  }
  for (const [at, { request, answer }] of a.value.entries()) {
    const other = b.value[at];
    if (other === undefined) continue;
    const found = differences([left.name, answer], [right.name, other.answer], options);
    if (found.length > 0) {
      throw new ParityError(`${scenario.name}, request ${at + 1}: ${describe(request)}\n  ${found.join('\n  ')}`);
    }
  }
  return { requests: a.value.length };
}

function describe({ method = 'GET', path, headers = {} }: RequestSpec): string {
  const told = Object.entries(headers)
    .filter(([name]) => name !== 'authorization')
    .map(([name, value]) => ` ${name}: ${value.slice(0, 80)}`);
  return `${method} ${path.slice(0, 200)}${told.join(',')}`;
}

// What scenarios are written with.

export const get = (path: string, status = 200, headers: Record<string, string> = {}): Step => ({
  request: { path, headers },
  status,
});

export type WriteOptions = {
  as?: keyof Tokens;
  body?: unknown;
  headers?: Record<string, string>;
  /** `last`: the ETag of the answer before. */
  ifMatch?: 'last' | (string & {});
};

/** A request with a method other than GET, as somebody. */
export const write = (
  method: string,
  path: string | ((told: Told) => string),
  status: number,
  { as, body, headers = {}, ifMatch }: WriteOptions = {},
): Step => ({
  status,
  request: (told) => ({
    method,
    path: typeof path === 'function' ? path(told) : path,
    headers: {
      ...(as === undefined ? {} : { authorization: `Bearer ${told.tokens[as]}` }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch === 'last' ? headerOf(told.last, 'etag') : ifMatch }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  }),
});

/** The path of what the answer before has made. */
export const lastLocation = ({ last }: Told): string => headerOf(last, 'location');
