import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import {
  bytes,
  ConfigError,
  durationMs,
  exitOnConfigError,
  flag,
  formatDurationMs,
  integer,
  list,
  loadConfig,
  parseDurationMs,
  port,
  url,
} from './config.ts';

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3000),
  DATABASE_URL: url(['mysql']),
  LOG_LEVEL: z.enum(['info', 'debug']).default('info'),
  DRAIN_GRACE: durationMs().default(10_000),
  JWT_SECRET: z.string().min(16),
  SHADOW: flag().default(false),
  PEERS: list().default([]),
  BODY_LIMIT: bytes({ max: 1024 * 1024 }).default(65_536),
});

const good = { DATABASE_URL: 'mysql://shop:pw@127.0.0.1:3306/shop', JWT_SECRET: '0123456789abcdef' };

function problemsOf(env: Record<string, string>): string[] {
  try {
    loadConfig('shop', schema, env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
  }
}

describe('loadConfig', () => {
  test('gives typed values and the defaults of the schema, and leaves other variables alone', () => {
    const config = loadConfig('shop', schema, { ...good, PORT: '8080', SHADOW: '1', PEERS: 'a, b,,c', PATH: '/bin' });
    expect(config).toEqual({
      HOST: '127.0.0.1',
      PORT: 8080,
      DATABASE_URL: good.DATABASE_URL,
      LOG_LEVEL: 'info',
      DRAIN_GRACE: 10_000,
      JWT_SECRET: good.JWT_SECRET,
      SHADOW: true,
      PEERS: ['a', 'b', 'c'],
      BODY_LIMIT: 65_536,
    });
  });

  test('takes a variable that is set to the empty text for one that is not set', () => {
    expect(loadConfig('shop', schema, { ...good, PORT: '' }).PORT).toBe(3000);
  });

  test('names every bad variable at once, with what was expected and what was found', () => {
    expect(
      problemsOf({
        PORT: '70000',
        LOG_LEVEL: 'loud',
        DRAIN_GRACE: 'soon',
        DATABASE_URL: 'postgres://shop:hunter2@db/shop',
        JWT_SECRET: 'hunter2',
        SHADOW: 'maybe',
        BODY_LIMIT: '2MiB',
      }),
    ).toEqual([
      'PORT: must be a port number from 0 to 65535, found "70000"',
      'DATABASE_URL: must be a URL that starts with mysql://, found "postgres://***@db/shop"',
      'LOG_LEVEL: must be one of "info", "debug", found "loud"',
      'DRAIN_GRACE: must be a duration such as 250, 30s or 5m, from 0 to 2147483647 ms, found "soon"',
      'JWT_SECRET: must be at least 16 characters long, found a value that is not shown',
      'SHADOW: must be true, false, 1 or 0, found "maybe"',
      'BODY_LIMIT: must be a size such as 512, 64KiB or 1MiB, from 0 to 1048576 bytes, found "2MiB"',
    ]);
  });

  test('says of a missing variable what it must be', () => {
    expect(problemsOf({})).toEqual([
      'DATABASE_URL: is required and must be a URL that starts with mysql://',
      'JWT_SECRET: is required',
    ]);
  });

  test('keeps each problem on one line, whatever the value holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'a@?:"\\\n\r\t\0'), minLength: 1 }), (value) => {
        const found = problemsOf({ ...good, SHADOW: `x${value}` });
        expect(found).toHaveLength(1);
        expect(found[0]).not.toMatch(/[\r\n]/);
      }),
    );
  });

  // Upper-case letters that no message is made of.
  const secret = fc.string({ unit: fc.constantFrom(...'QXZ'), minLength: 4, maxLength: 12 });

  test('never shows the value of a variable whose name says that it is secret', () => {
    const name = fc.constantFrom(
      'JWT_SECRET',
      'API_TOKEN',
      'DB_PASSWORD',
      'SIGNING_KEY',
      'CONSUL_HTTP_TOKEN',
      'DB_PASS',
    );
    const kind = fc.constantFrom(
      integer(),
      flag(),
      z.enum(['a']),
      z.string().min(100),
      z.string().refine(() => false, { error: (issue) => `${issue.input} will not do` }),
    );
    fc.assert(
      fc.property(name, kind, secret, (variable, value, text) => {
        const load = () => loadConfig('shop', z.object({ [variable]: value }), { [variable]: text });
        expect(load).toThrow(ConfigError);
        expect(load).toThrow(expect.objectContaining({ message: expect.not.stringContaining(text) }));
      }),
    );
  });

  test('never shows a password or a token within a URL, however malformed the URL is', () => {
    const shape = fc.constantFrom(
      (s: string) => `redis://user:${s}@host/0`,
      (s: string) => `redis://:${s}@host`,
      (s: string) => `redis:user:${s}@host`,
      (s: string) => `user:${s}@host`,
      (s: string) => `redis://user:${s}`,
      (s: string) => `redis://user:p@ss${s}/word?#@host`,
      (s: string) => `http://host/?access_token=${s}`,
      (s: string) => `http://host:${s}`,
    );
    fc.assert(
      fc.property(shape, secret, (make, text) => {
        expect(problemsOf({ ...good, DATABASE_URL: make(text) }).join()).not.toContain(text);
      }),
    );
  });
});

describe('exitOnConfigError', () => {
  test.each(['thrown', 'rejected with'])('prints a line a variable and exits with 2 when one is %s', async (how) => {
    let printed = '';
    const codes: number[] = [];
    const exit = (code: number): never => {
      codes.push(code);
      return undefined as never;
    };
    const load = () => loadConfig('shop', schema, { JWT_SECRET: good.JWT_SECRET, PORT: 'x' });
    await exitOnConfigError<unknown>(how === 'thrown' ? load : async () => load(), {
      write: (text) => {
        printed += text;
      },
      exit,
    });
    expect(codes).toEqual([2]);
    expect(printed.split('\n')).toEqual([
      'shop: the environment is not usable',
      '  PORT: must be a port number from 0 to 65535, found "x"',
      '  DATABASE_URL: is required and must be a URL that starts with mysql://',
      '',
    ]);
  });

  test('lets every other error through', () => {
    const fail = () => {
      throw new TypeError('not about the environment');
    };
    expect(() => exitOnConfigError(fail)).toThrow(TypeError);
  });
});

describe('durations', () => {
  test('read back as they were written', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 - 1 }), (ms) => {
        expect(parseDurationMs(formatDurationMs(ms))).toBe(ms);
        expect(durationMs().parse(formatDurationMs(ms))).toBe(ms);
        expect(durationMs().parse(`${ms}`)).toBe(ms);
      }),
    );
  });

  test.each([
    ['250', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1.5s', 1_500],
    ['0.001s', 1],
    ['2h', 7_200_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  test.each(['', '-1', '1 week', '1.5', '0x10', 'Infinity', '1e3', '5 m', '99999999999999999s'])(
    '%j is no duration',
    (text) => {
      expect(parseDurationMs(text)).toBeUndefined();
    },
  );

  test('that overflow a timer are refused', () => {
    expect(durationMs().safeParse('25d').success).toBe(false);
  });
});

test.each([
  ['512', 512],
  ['64KiB', 65_536],
  ['1 MiB', 1_048_576],
  ['64kB', 64_000],
])('%s is %d bytes', (text, count) => {
  expect(bytes().parse(text)).toBe(count);
});
