import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allows, readTokenHolders, roles, TokensFileError } from './roles.ts';
import { createSessions } from './sessions.ts';

const token = (letter: string) => letter.repeat(24);

describe('the tokens file', () => {
  const ada = { name: 'ada', role: 'admin', token: token('a') };
  const read = (list: unknown) => readTokenHolders(JSON.stringify(list), 'tokens.json');

  test('finds the holder of a token, given plainly or by its hash, and nobody for any other', () => {
    const sha256 = createHash('sha256').update(token('v')).digest('hex');
    const holders = read([ada, { name: 'vera', role: 'viewer', sha256 }]);
    expect(holders.find(token('a'))).toEqual({ name: 'ada', role: 'admin' });
    expect(holders.find(token('v'))).toEqual({ name: 'vera', role: 'viewer' });
    for (const wrong of ['', sha256, `${token('a')} `, token('a').slice(1)])
      expect(holders.find(wrong)).toBeUndefined();
  });

  test.each([
    [[], 'at least one'],
    [[{ ...ada, token: 'short' }], '24 characters'],
    [[{ name: 'ada', role: 'admin' }], 'either "token" or "sha256"'],
    [[{ ...ada, role: 'root' }], '0.role'],
    [[ada, { ...ada, token: token('b') }], '"ada" twice'],
    [[ada, { ...ada, name: 'eve' }], 'one twice'],
    [{ ada }, 'list'],
  ])('is refused, without its tokens, where it is %j', (list, why) => {
    const fault = (() => {
      try {
        read(list);
      } catch (error) {
        return error as Error;
      }
      return undefined;
    })();
    expect(fault).toBeInstanceOf(TokensFileError);
    expect(fault?.message).toContain(why);
    expect(fault?.message).not.toContain(ada.token);
  });

  test('lets a role do what the ones before it may, and no more', () => {
    expect(roles.map((role) => roles.filter((needed) => allows(role, needed)))).toEqual([
      ['viewer'],
      ['viewer', 'operator'],
      ['viewer', 'operator', 'admin'],
    ]);
  });
});

describe('a session', () => {
  test('is who signed in until it is over', () => {
    let nowMs = 1_000;
    const sessions = createSessions({ lastsMs: 500, nowMs: () => nowMs });
    const { value } = sessions.open({ name: 'ada', role: 'operator' });
    expect(sessions.read(value)).toEqual({ name: 'ada', role: 'operator', untilMs: 1_500 });
    nowMs = 1_500;
    expect(sessions.read(value)).toBeUndefined();
  });

  test('is nothing once a letter of it is another, or where another proxy signed it', () => {
    const sessions = createSessions({ lastsMs: 1e9 });
    const { value } = sessions.open({ name: 'vera', role: 'viewer' });
    const [text, signature] = value.split('.') as [string, string];
    const forged = Buffer.from(JSON.stringify({ name: 'vera', role: 'admin', untilMs: 9e15 })).toString('base64url');
    expect(sessions.read(`${forged}.${signature}`)).toBeUndefined();
    expect(createSessions({ lastsMs: 1e9 }).read(value)).toBeUndefined();
    fc.assert(
      fc.property(fc.nat(text.length - 1), (at) => {
        const other = text[at] === 'A' ? 'B' : 'A';
        expect(sessions.read(`${text.slice(0, at)}${other}${text.slice(at + 1)}.${signature}`)).toBeUndefined();
      }),
    );
    fc.assert(fc.property(fc.string(), (any) => expect(sessions.read(any)).toBeUndefined()));
  });
});
