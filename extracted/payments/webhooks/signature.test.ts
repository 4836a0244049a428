import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { checkSignature, signatureWindowSeconds } from './signature.ts';

const [old, fresh] = ['the-secret-of-yesterday', 'the-secret-of-tomorrow'];
const now = new Date('2026-01-01T00:00:00Z');
const t = now.getTime() / 1000;
const body = Buffer.from('{"id":"evt_1"}');
const v1 = (secret: string, time = t, text: Buffer = body) =>
  createHmac('sha256', secret).update(`${time}.`).update(text).digest('hex');
const check = (header: string | undefined, secrets: readonly string[] = [old], text = body) =>
  checkSignature(secrets, header, text, now).kind;

describe('while the secret is being changed', () => {
  test('what is signed with either is genuine', () => {
    for (const secret of [old, fresh]) expect(check(`t=${t},v1=${v1(secret)}`, [old, fresh])).toBe('genuine');
  });

  test('what is signed with both is genuine to whoever knows one', () => {
    for (const known of [old, fresh]) expect(check(`t=${t},v1=${v1(old)},v1=${v1(fresh)}`, [known])).toBe('genuine');
  });

  test('what is signed with neither is forged', () => {
    expect(check(`t=${t},v1=${v1('something-else-entirely')}`, [old, fresh])).toBe('forged');
  });
});

test.each([
  ['another body', `t=${t},v1=${v1(old)}`, Buffer.from('{}')],
  ['another time', `t=${t + 1},v1=${v1(old)}`, body],
])('a signature of %s is forged', (_name, header, text) => {
  expect(check(header, [old], text)).toBe('forged');
});

test('the window is as long before as after', () => {
  for (const sign of [-1, 1]) {
    const at = (seconds: number) => check(`t=${t + sign * seconds},v1=${v1(old, t + sign * seconds)}`);
    expect(at(signatureWindowSeconds)).toBe('genuine');
    expect(at(signatureWindowSeconds + 1)).toBe('outside_window');
  }
});

test.each([
  undefined,
  '',
  `t=${t}`,
  `v1=${v1(old)}`,
  `t=x,v1=${v1(old)}`,
  `t=${t},t=${t},v1=${v1(old)}`,
  `t=${t},v1=${'a'.repeat(63)}`,
  `t=${t}${`,v1=${v1(old)}`.repeat(6)}`,
])('%j is malformed', (header) => {
  expect(check(header)).toBe('malformed');
});
