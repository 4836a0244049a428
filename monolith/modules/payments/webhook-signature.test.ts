import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { signWebhook } from '../../payment-provider/signature.ts';
import { checkSignature, signatureWindowSeconds } from './webhook-signature.ts';

const secret = 'a-secret-of-some-length';
const now = new Date('2026-03-01T12:00:00Z');
const body = Buffer.from('{"id":"evt_1"}');
const seconds = (n: number) => new Date(now.getTime() + n * 1000);

describe('the signature of a webhook', () => {
  test('what the provider signs is genuine, whatever the body', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(checkSignature(secret, signWebhook(secret, text, now), Buffer.from(text), now)).toEqual({
          kind: 'genuine',
        });
      }),
    );
  });

  test('a body that differs in one byte is forged', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, at, flip) => {
        const text = Buffer.from(bytes).toString('hex');
        const changed = Buffer.from(text);
        const index = at % changed.length;
        changed.writeUInt8((changed.readUInt8(index) ^ flip) & 0xff, index);
        expect(checkSignature(secret, signWebhook(secret, text, now), changed, now)).toEqual({ kind: 'forged' });
      }),
    );
  });

  test('a signature under another secret is forged', () => {
    const header = signWebhook('another-secret-altogether', body.toString(), now);
    expect(checkSignature(secret, header, body, now)).toEqual({ kind: 'forged' });
  });

  test('one that fits among several is enough, as while the secret is being changed', () => {
    const [t, good] = signWebhook(secret, body.toString(), now).split(',');
    expect(checkSignature(secret, `${t},v1=${'0'.repeat(64)},${good}`, body, now)).toEqual({ kind: 'genuine' });
  });

  test('it holds for five minutes either way and not a second longer', () => {
    const header = signWebhook(secret, body.toString(), now);
    for (const age of [-signatureWindowSeconds, 0, signatureWindowSeconds]) {
      expect(checkSignature(secret, header, body, seconds(age))).toEqual({ kind: 'genuine' });
    }
    for (const ageSeconds of [-signatureWindowSeconds - 1, signatureWindowSeconds + 1]) {
      expect(checkSignature(secret, header, body, seconds(ageSeconds))).toEqual({ kind: 'outside_window', ageSeconds });
    }
  });

  test('its time cannot be renewed without the secret', () => {
    const [, signature] = signWebhook(secret, body.toString(), seconds(-4_000)).split(',');
    const renewed = `t=${now.getTime() / 1000},${signature}`;
    expect(checkSignature(secret, renewed, body, now)).toEqual({ kind: 'forged' });
  });

  test.each([
    ['no header', undefined],
    ['nothing in it', ''],
    ['no time', `v1=${'0'.repeat(64)}`],
    ['no signature', 't=1'],
    ['two times', `t=1,t=2,v1=${'0'.repeat(64)}`],
    ['a time that is no number', `t=soon,v1=${'0'.repeat(64)}`],
    ['a signature that is too short', 't=1,v1=00'],
    ['too many signatures', `t=1${`,v1=${'0'.repeat(64)}`.repeat(6)}`],
  ])('%s is malformed', (_, header) => {
    expect(checkSignature(secret, header, body, now)).toEqual({ kind: 'malformed' });
  });
});
