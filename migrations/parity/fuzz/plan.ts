/**
 * What a step is to send, before anything is known of the answers that it builds on. It is plain data: so it can be made from a
 * seed, made simpler while what it shows stays, and run again on other data.
 */
export type StepPlan = {
  /** Index into the operations. */
  operation: number;
  role: RolePlan;
  /** By name, for each parameter in the path. */
  path: Readonly<Record<string, IdPlan>>;
  query: Readonly<Record<string, ValuePlan>>;
  cursor: 'none' | 'follow' | 'garbage' | 'elsewhere';
  ifMatch: 'current' | 'stale' | 'any' | 'none' | 'garbage' | 'weak';
  ifNoneMatch: 'none' | 'current' | 'any' | 'garbage';
  /** Other headers that the description names, by name. */
  headers: Readonly<Record<string, ValuePlan>>;
  /** Index into the media types; one beyond them is a wrong one. */
  mediaType: number;
  body: BodyPlan;
  /** Whether the list that a write concerns is read after it. */
  look: boolean;
};

/** `fitting`: one of those that the operation is not known to refuse. */
export type RolePlan = { kind: 'fitting'; pick: number } | { kind: 'named'; pick: number } | { kind: 'none' | 'bad' };

/** `pick` counts from what was heard of last, 0 being that. */
export type IdPlan = { kind: 'known'; pick: number } | { kind: 'literal'; text: string };

export type ValuePlan =
  | { kind: 'literal'; value: unknown }
  /** Something that stood under that name in an answer, changed by `twist`. */
  | { kind: 'seen'; name: string; pick: number; twist: Twist; otherwise: unknown };

export type Twist = 'same' | 'upper' | 'lower' | 'prefix' | 'more' | 'less';

export type BodyPlan =
  | { kind: 'none' }
  /** Not JSON, or not the JSON that is asked for. */
  | { kind: 'text'; text: string }
  | { kind: 'members'; members: Readonly<Record<string, ValuePlan>> };
