/** What became of one part. */
export type PartResult =
  | { kind: 'value'; value: unknown }
  | {
      kind: 'missing';
      why: PartFault;
      status: number | null;
      /** Of a policy's refusal: what its client has to know, such as when to come again. */
      headers?: Readonly<Record<string, string>>;
    };

/** Why a part has no value: a closed set, told to the client and in metrics. */
export type PartFault = 'refused' | 'failed' | 'late' | 'status' | 'not-json' | 'too-large' | 'no-such-value';

export type JoinedPart = { name: string; required: boolean; result: PartResult };

/** The whole that is answered with, or whose fault it is that there is none. */
export type Joined =
  | { kind: 'whole'; body: Record<string, unknown>; partial: string[] }
  | {
      kind: 'none';
      part: string;
      why: PartFault;
      upstreamStatus: number | null;
      status: number;
      headers: Readonly<Record<string, string>>;
    };

/** Members of the answer that are not parts. */
export const partialMember = '_partial';

/**
 * Puts the parts together under their names. An optional one that has no value is null and named in `_partial`; without a
 * required one there is no answer: what a policy of its route says where that refused it, 504 where it came too late, 404 where its upstream says that there is no such thing,
 * else 502. Of several the first in the file is told.
 */
export function joinParts(parts: readonly JoinedPart[]): Joined {
  const body: Record<string, unknown> = {};
  const partial: string[] = [];
  for (const { name, required, result } of parts) {
    if (result.kind === 'value') {
      body[name] = result.value;
      continue;
    }
    const { why, status, headers = {} } = result;
    if (required)
      return { kind: 'none', part: name, why, upstreamStatus: status, status: statusFor(why, status), headers };
    body[name] = null;
    partial.push(name);
  }
  if (partial.length > 0) body[partialMember] = partial;
  return { kind: 'whole', body, partial };
}

const statusFor = (why: PartFault, status: number | null): number => {
  if (why === 'refused') return status ?? 502;
  if (why === 'late') return 504;
  return why === 'status' && (status === 404 || status === 410) ? 404 : 502;
};

/** The value that a JSON Pointer (RFC 6901) names; undefined where there is none. The empty one names the whole. */
export function atPointer(value: unknown, pointer: string): unknown {
  if (pointer === '') return value;
  let at: unknown = value;
  for (const token of pointer.slice(1).split('/')) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(at)) {
      at = /^(?:0|[1-9]\d*)$/.test(key) ? at[Number(key)] : undefined;
    } else if (typeof at === 'object' && at !== null && Object.hasOwn(at, key)) {
      at = (at as Record<string, unknown>)[key];
    } else return undefined;
  }
  return at;
}

export const pointerPattern = /^(?:\/(?:[^~/]|~[01])*)*$/;
