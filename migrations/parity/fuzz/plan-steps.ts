import fc, { type Arbitrary } from 'fast-check';
import type { ApiOperation, ApiParameter, JsonSchema } from '../../openapi/operation.ts';
import type { BodyPlan, IdPlan, RolePlan, StepPlan, ValuePlan } from './plan.ts';
import { fitting, planned, unfitting } from './values.ts';

/** Parameters that are not values but take part in a conversation. */
export const cursorName = /^(cursor|page_?token|after|next)$/i;
export const isIfMatch = ({ in: where, name }: ApiParameter): boolean => where === 'header' && /^if-match$/i.test(name);
export const isIfNoneMatch = ({ in: where, name }: ApiParameter): boolean =>
  where === 'header' && /^if-none-match$/i.test(name);

const often = <T>(...choices: readonly (readonly [weight: number, value: T])[]): Arbitrary<T> =>
  fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })));

/** Sequences of steps, mostly of requests that can succeed; writes more often than reads, for reads follow from them. */
export function planSequences(operations: readonly ApiOperation[], maxSteps: number): Arbitrary<StepPlan[]> {
  const steps = operations.map((operation, index) => ({
    weight: weightOf(operation),
    arbitrary: planStep(operation, index),
  }));
  return fc.array(fc.oneof(...steps), { minLength: Math.ceil(maxSteps / 2), maxLength: maxSteps, size: 'max' });
}

/** What can be asked in many ways is asked more often. */
function weightOf({ method, parameters }: ApiOperation): number {
  const inQuery = parameters.filter(({ in: where }) => where === 'query').length;
  return (method === 'DELETE' ? 2 : 3) + Math.min(inQuery, 8);
}

function planStep(operation: ApiOperation, index: number): Arbitrary<StepPlan> {
  const { parameters, bodies, signedIn } = operation;
  const inPath = parameters.filter(({ in: where }) => where === 'path');
  const inQuery = parameters.filter(({ in: where, name }) => where === 'query' && !cursorName.test(name));
  const has = (is: (parameter: ApiParameter) => boolean) => parameters.some(is);
  return fc.record({
    operation: fc.constant(index),
    role: planRole(signedIn === 'must'),
    path: fc.record(Object.fromEntries(inPath.map(({ name }) => [name, planId()]))),
    query: planQuery(inQuery),
    cursor: has(({ in: where, name }) => where === 'query' && cursorName.test(name))
      ? often<StepPlan['cursor']>([6, 'none'], [4, 'follow'], [1, 'garbage'], [1, 'elsewhere'])
      : fc.constant<StepPlan['cursor']>('none'),
    ifMatch: has(isIfMatch)
      ? often<StepPlan['ifMatch']>([10, 'current'], [3, 'any'], [2, 'stale'], [1, 'none'], [1, 'garbage'], [1, 'weak'])
      : fc.constant<StepPlan['ifMatch']>('none'),
    ifNoneMatch: has(isIfNoneMatch)
      ? often<StepPlan['ifNoneMatch']>([8, 'none'], [2, 'current'], [1, 'any'], [1, 'garbage'])
      : fc.constant<StepPlan['ifNoneMatch']>('none'),
    headers: planHeaders(parameters),
    mediaType: bodies.length === 0 ? fc.constant(0) : often([16, 0], [4, bodies.length - 1], [1, bodies.length]),
    look: operation.method === 'GET' ? fc.constant(false) : often([2, false], [1, true]),
    body: bodies[0] === undefined ? fc.constant<BodyPlan>({ kind: 'none' }) : planBody(bodies[0].schema),
  });
}

function planRole(wantsToken: boolean): Arbitrary<RolePlan> {
  const none = fc.constant<RolePlan>({ kind: 'none' });
  if (!wantsToken) return none;
  const pick = fc.nat({ max: 3 });
  return fc.oneof(
    { weight: 16, arbitrary: pick.map((at): RolePlan => ({ kind: 'fitting', pick: at })) },
    { weight: 2, arbitrary: pick.map((at): RolePlan => ({ kind: 'named', pick: at })) },
    { weight: 1, arbitrary: none },
    { weight: 1, arbitrary: fc.constant<RolePlan>({ kind: 'bad' }) },
  );
}

function planId(): Arbitrary<IdPlan> {
  const literal = (...texts: string[]) => fc.constantFrom(...texts).map((text): IdPlan => ({ kind: 'literal', text }));
  return fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(0, 0, 0, 1, 1, 2).map((pick): IdPlan => ({ kind: 'known', pick })) },
    { weight: 4, arbitrary: fc.nat({ max: 60 }).map((pick): IdPlan => ({ kind: 'known', pick })) },
    { weight: 1, arbitrary: literal('999999', '0', '-1', '1.5', 'abc', '9007199254740993', '%20', '1e3', '01') },
  );
}

/** Those that must be there are left out now and then, and now and then they do not fit. */
function planHeaders(parameters: readonly ApiParameter[]): Arbitrary<Record<string, ValuePlan>> {
  const own = parameters.filter((one) => one.in === 'header' && !isIfMatch(one) && !isIfNoneMatch(one));
  if (own.length === 0) return fc.constant({});
  const each = own.map(({ name, schema, required }) =>
    fc
      .oneof(
        { weight: 12, arbitrary: fitting(schema).map((value): ValuePlan => ({ kind: 'literal', value })) },
        { weight: 1, arbitrary: unfitting(schema).map((value): ValuePlan => ({ kind: 'literal', value })) },
      )
      .chain((value) =>
        (required ? often([12, true], [1, false]) : often([1, true], [3, false])).map(
          (given): Record<string, ValuePlan> => (given ? { [name]: value } : {}),
        ),
      ),
  );
  return fc.tuple(...each).map((given) => Object.assign({}, ...given) as Record<string, ValuePlan>);
}

function planQuery(parameters: readonly ApiParameter[]): Arbitrary<Record<string, ValuePlan>> {
  // Most lists are asked for with one filter or none: several at once leave nothing to compare.
  const each = parameters.map(({ name, schema, required }) =>
    planned(name, schema).chain((value) =>
      (required ? fc.constant(true) : often([1, true], [4, false])).map((given) => (given ? { [name]: value } : {})),
    ),
  );
  const some = each.length === 0 ? fc.constant([]) : fc.tuple(...each);
  const wrong = parameters.length === 0 ? fc.constant({}) : fc.oneof(...parameters.map(wrongParameter));
  const unknown = fc.constant({ unheard_of: { kind: 'literal', value: '1' } satisfies ValuePlan });
  const bad = fc.oneof(
    { weight: 12, arbitrary: fc.constant({}) },
    { weight: 2, arbitrary: wrong },
    { weight: 1, arbitrary: unknown },
  );
  return fc.tuple(some, bad).map(([good, more]) => Object.assign({}, ...good, more) as Record<string, ValuePlan>);
}

const wrongParameter = ({ name, schema }: ApiParameter): Arbitrary<Record<string, ValuePlan>> =>
  unfitting(schema).map((value) => ({ [name]: { kind: 'literal', value: typeof value === 'object' ? '' : value } }));

function planBody(schema: JsonSchema): Arbitrary<BodyPlan> {
  const { properties = {}, required = [] } = schema;
  const names = Object.keys(properties);
  const members = fc.record(Object.fromEntries(names.map((name) => [name, planned(name, properties[name] ?? {})])), {
    requiredKeys: required.filter((name) => name in properties),
  });
  const whole = members.map((all): BodyPlan => ({ kind: 'members', members: all }));
  if (names.length === 0) return whole;
  const one = fc.constantFrom(...names);
  const broken = fc
    .tuple(
      members,
      fc.oneof(
        {
          weight: 3,
          arbitrary: one.chain((name) => unfitting(properties[name] ?? {}).map((value) => ({ [name]: value }))),
        },
        { weight: 2, arbitrary: one.map((name) => ({ [name]: undefined })) },
        {
          weight: 1,
          arbitrary: fc.constantFrom<Record<string, unknown>>({ unheard_of: 1 }, { id: 7 }, { __proto: 1 }),
        },
      ),
    )
    .map(([all, changes]): BodyPlan => {
      const changed: Record<string, ValuePlan> = { ...all };
      for (const [name, value] of Object.entries(changes)) {
        if (value === undefined) delete changed[name];
        else changed[name] = { kind: 'literal', value };
      }
      return { kind: 'members', members: changed };
    });
  const text = fc
    .constantFrom('', '{', 'null', '[]', '"text"', '7', '{"a":1,}', '\u00ff', '{}')
    .map((found): BodyPlan => ({ kind: 'text', text: found }));
  return fc.oneof(
    { weight: 14, arbitrary: whole },
    { weight: 5, arbitrary: broken },
    { weight: 1, arbitrary: fc.oneof(text, fc.constant<BodyPlan>({ kind: 'none' })) },
  );
}
