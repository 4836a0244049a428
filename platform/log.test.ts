import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { contextFromHeaders, runInRequest } from './http/request-context.ts';
import { createLog } from './log.ts';

function capture(level = 'trace') {
  const lines: string[] = [];
  const log = createLog({ name: 'shop', level, destination: { write: (line: string) => void lines.push(line) } });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') };
}

describe('a log line', () => {
  test('is JSON with name, level and an ISO time', () => {
    const { log, last } = capture();
    log.info({ productId: 7 }, 'priced');
    expect(last()).toMatchObject({ level: 'info', name: 'shop', msg: 'priced', productId: 7 });
    expect(new Date(last().time).toISOString()).toBe(last().time);
  });

  test('carries the request and the trace that it was written for', async () => {
    const { log, last } = capture();
    const request = contextFromHeaders({ 'x-request-id': 'r-1' });
    await runInRequest(request, async () => {
      await Promise.resolve();
      log.info('inside');
    });
    expect(last()).toMatchObject({ requestId: 'r-1', traceId: request.traceId, spanId: request.spanId });
    log.info('outside');
    expect(last()).not.toHaveProperty('requestId');
  });

  test('tells an error with its code, its stack and all its causes', () => {
    const { log, last } = capture();
    const root = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
    const error = new AggregateError([new Error('one'), new Error('two')], 'cannot charge', { cause: root });
    log.error(error);
    expect(last()).toMatchObject({
      msg: 'cannot charge',
      err: {
        type: 'AggregateError',
        message: 'cannot charge',
        stack: expect.stringContaining('log.test'),
        cause: { type: 'Error', message: 'connection refused', code: 'ECONNREFUSED' },
        errors: [{ message: 'one' }, { message: 'two' }],
      },
    });
  });

  test('survives cycles, depth, bigints, dates, buffers and errors that cause themselves', () => {
    const { log, last } = capture();
    const loop: Record<string, unknown> = { id: 1n, at: new Date(0), body: Buffer.from('secret bytes') };
    loop.self = loop;
    const error = new Error('round');
    error.cause = error;
    log.info({ loop, err: error });
    expect(last()).toMatchObject({
      loop: { id: '1', at: '1970-01-01T00:00:00.000Z', body: '[12 bytes]', self: '[circular]' },
      err: { cause: '[circular]' },
    });
  });
});

describe('secrets', () => {
  const secret = fc.string({ unit: fc.constantFrom(...'QXZ'), minLength: 6, maxLength: 20 });
  const name = fc.constantFrom(
    'authorization',
    'Authorization',
    'cookie',
    'set-cookie',
    'password',
    'token',
    'access_token',
    'refresh_token',
    'refreshToken',
    'secret',
    'x-strangler-operator',
  );
  const wrap = fc.array(fc.constantFrom('req', 'headers', 'body', 'list'), { maxLength: 6 });

  test('are not written, under whatever name they are known and however deep they stand', () => {
    fc.assert(
      fc.property(name, secret, wrap, fc.boolean(), (key, value, path, bound) => {
        const { log, lines } = capture();
        const fields = path.reduce<unknown>((inner, step) => (step === 'list' ? [inner] : { [step]: inner }), {
          [key]: value,
        });
        if (bound)
          log
            .child({ fields })
            .child({ [key]: value })
            .info('a line');
        else log.info({ fields }, 'a line');
        expect(lines).toHaveLength(1);
        expect(lines[0]).not.toContain(value);
      }),
    );
  });

  test('are not written as parts of texts: URLs, queries, bearer tokens, messages and stacks', () => {
    const shape = fc.constantFrom(
      (s: string) => `connect mysql://shop:${s}@127.0.0.1:3306/shop failed`,
      (s: string) => `connect amqp://shop:p@${s}@127.0.0.1 failed`,
      (s: string) => `redis://:${s}@127.0.0.1/0`,
      (s: string) => `GET /api/notifications/stream?access_token=${s}&x=1`,
      (s: string) => `sent Authorization: Bearer ${s}`,
    );
    fc.assert(
      fc.property(shape, secret, (make, value) => {
        const { log, lines } = capture();
        log.error(new Error(make(value), { cause: new Error(make(value)) }));
        log.info({ url: make(value) }, make(value));
        expect(lines.join()).not.toContain(value);
      }),
    );
  });

  test('leave harmless URLs as they are', () => {
    const { log, last } = capture();
    log.info('http://127.0.0.1:3000/users/@me and mysql://shop@127.0.0.1/shop');
    expect(last().msg).toBe('http://127.0.0.1:3000/users/@me and mysql://shop@127.0.0.1/shop');
  });
});

test('the last line before a crash is not lost', async () => {
  const program = `
    import { createLog } from '${new URL('./log.ts', import.meta.url)}';
    const log = createLog({ name: 'crash', level: 'info' });
    for (let i = 0; i < 500; i += 1) log.info({ i }, 'x'.repeat(200));
    log.fatal('the last line');
    process.abort();`;
  const child = spawn('node', ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  await once(child, 'close');
  const lines = output.trimEnd().split('\n');
  expect(lines).toHaveLength(501);
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ msg: 'the last line', level: 'fatal' });
});
