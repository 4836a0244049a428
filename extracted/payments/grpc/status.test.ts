import { status } from '@grpc/grpc-js';
import { expect, test } from '@jest/globals';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { FencedWrite } from '@strangler/platform/ownership/within-fence.ts';
import { asGrpcError } from './status.ts';

const fenced = new FencedWrite({ slice: 'payments', epoch: 4, owner: 'monolith' }, undefined, undefined);

test.each([
  [problems.badRequest('no'), 'INVALID_ARGUMENT'],
  [problems.notFound('no'), 'NOT_FOUND'],
  [problems.conflict('no'), 'FAILED_PRECONDITION'],
  [new Problem({ status: 409, title: 'Request still running' }), 'ABORTED'],
  [problems.unprocessable('no'), 'INVALID_ARGUMENT'],
  [problems.unavailable(1), 'UNAVAILABLE'],
  [Object.assign(new Error('gone'), { code: 'ECONNREFUSED' }), 'UNAVAILABLE'],
  [fenced, 'UNAVAILABLE'],
] as const)('%s is %s', (error, name) => {
  expect(asGrpcError(error, undefined)).toMatchObject({ code: status[name] });
});

test('a write that the fence has kept until its epoch was over is told the one in force', () => {
  const error = asGrpcError(fenced, 3) as { code: number; metadata: { get(name: string): unknown[] } };
  expect([error.code, error.metadata.get('x-strangler-stale-epoch')]).toEqual([status.FAILED_PRECONDITION, ['4']]);
  expect(asGrpcError(fenced, 4)).toMatchObject({ code: status.UNAVAILABLE });
});

test('what is nobody’s fault but ours stays what it is', () => {
  const error = new TypeError('a mistake');
  expect(asGrpcError(error, 1)).toBe(error);
});
