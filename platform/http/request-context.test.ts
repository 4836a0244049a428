import { describe, expect, test } from '@jest/globals';
import type { Request, Response } from 'express';
import fc from 'fast-check';
import {
  contextFromHeaders,
  currentRequest,
  parseTraceparent,
  requestContext,
  runAsJob,
  runInRequest,
} from './request-context.ts';

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });

describe('the trace context', () => {
  test('continues every valid traceparent under an id of its own', () => {
    fc.assert(
      fc.property(hex(32), hex(16), hex(2), (traceId, spanId, flags) => {
        fc.pre(!/^0+$/.test(traceId) && !/^0+$/.test(spanId));
        const traceparent = `00-${traceId}-${spanId}-${flags}`;
        const context = contextFromHeaders({ traceparent, tracestate: 'a=1' });
        expect(context.traceId).toBe(traceId);
        expect(context.spanId).not.toBe(spanId);
        expect(context.traceparent).toBe(`00-${traceId}-${context.spanId}-${flags}`);
        expect(context.tracestate).toBe('a=1');
      }),
    );
  });

  test.each([
    undefined,
    '',
    `00-${'0'.repeat(32)}-${'a'.repeat(16)}-01`,
    `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`,
    `00-${'A'.repeat(32)}-${'a'.repeat(16)}-01`,
    `01-${'a'.repeat(32)}-${'a'.repeat(16)}-01`,
    `ff-${'a'.repeat(32)}-${'a'.repeat(16)}-01`,
    `00-${'a'.repeat(32)}-${'a'.repeat(16)}-01-x`,
    `00-${'a'.repeat(32)}-${'a'.repeat(16)}-01, 00-${'a'.repeat(32)}-${'a'.repeat(16)}-01`,
  ])('%# is made anew, without the tracestate, where the traceparent is not valid', (traceparent) => {
    const context = contextFromHeaders({ ...(traceparent === undefined ? {} : { traceparent }), tracestate: 'a=1' });
    expect(parseTraceparent(context.traceparent)).toMatchObject({ traceId: context.traceId, spanId: context.spanId });
    expect(context.traceId).not.toBe('a'.repeat(32));
    expect(context).not.toHaveProperty('tracestate');
  });
});

describe('the request id', () => {
  test('is the client’s where it is 1 to 128 safe characters, and a new one otherwise', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 140 }), (id) => {
        const { requestId } = contextFromHeaders({ 'x-request-id': id });
        expect(requestId === id).toBe(/^[A-Za-z0-9._:-]{1,128}$/.test(id));
        expect(requestId).toMatch(/^[A-Za-z0-9._:-]{1,128}$/);
      }),
    );
    expect(contextFromHeaders({ 'x-request-id': 'a'.repeat(128) }).requestId).toHaveLength(128);
    expect(contextFromHeaders({ 'x-request-id': 'a'.repeat(129) }).requestId).not.toContain('a'.repeat(129));
    expect(contextFromHeaders({ 'x-request-id': 'abc\n' }).requestId).not.toBe('abc\n');
  });
});

test('requests that run side by side do not see each other', async () => {
  const seen = async (id: string) =>
    runInRequest(contextFromHeaders({ 'x-request-id': id }), async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return currentRequest()?.requestId;
    });
  expect(await Promise.all(['a', 'b', 'c'].map(seen))).toEqual(['a', 'b', 'c']);
  expect(currentRequest()).toBeUndefined();
});

describe('the operation', () => {
  test.each([
    ['GET', '/api/products?q=secret', 'GET /api/products'],
    ['POST', '/api/products/12/reviews', 'POST /api/products/12/reviews'],
    ['PUT', `/${'x'.repeat(5_000)}`, `PUT /${'x'.repeat(195)}`],
  ])('of %s %.20s is method and path, without the query and of a bounded length', (method, url, operation) => {
    let seen: string | undefined;
    const request = { method, url, headers: {} } as Request;
    requestContext()(request, { setHeader: () => {} } as unknown as Response, () => {
      seen = currentRequest()?.operation;
    });
    expect(seen).toBe(operation);
  });

  test('of a job is its name, under a trace that no other run of it has', () => {
    const runs = [1, 2].map(() => runAsJob('nightly', () => currentRequest()));
    expect(runs.map((run) => run?.operation)).toEqual(['nightly', 'nightly']);
    expect(new Set(runs.map((run) => run?.traceId)).size).toBe(2);
  });
});
