import type { Socket } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { headOf } from '../testing/request-head-of.ts';
import { clientIdentity, trustPeers } from './client-identity.ts';

const peer = (remoteAddress: string, encrypted = false) => ({ remoteAddress, encrypted }) as unknown as Socket;
const from = (address: string, headers: string[], ranges: string[]) =>
  clientIdentity(peer(address), headOf({ headers: ['Host', 'shop.test', ...headers] }), trustPeers(ranges));

describe('clientIdentity', () => {
  test('believes nobody by default', () => {
    const seen = from(
      '203.0.113.9',
      ['X-Forwarded-For', '1.1.1.1', 'X-Forwarded-Proto', 'https', 'Forwarded', 'for=1.1.1.1'],
      [],
    );
    expect(seen).toEqual({
      clientAddress: '203.0.113.9',
      forwardedFor: '203.0.113.9',
      forwardedProto: 'http',
      forwardedHost: 'shop.test',
      forwarded: 'for=203.0.113.9;host="shop.test";proto=http',
    });
  });

  test('takes from a trusted peer the nearest address that is not trusted itself', () => {
    const chain = ['X-Forwarded-For', '9.9.9.9, 203.0.113.9, 10.0.0.7'];
    const seen = from('10.0.0.1', chain, ['10.0.0.0/8']);
    expect(seen.clientAddress).toBe('203.0.113.9');
    expect(seen.forwardedFor).toBe('9.9.9.9, 203.0.113.9, 10.0.0.7, 10.0.0.1');
  });

  test('joins the lines of a repeated X-Forwarded-For in their order', () => {
    const seen = from('10.0.0.1', ['X-Forwarded-For', '9.9.9.9', 'x-forwarded-for', '203.0.113.9'], ['10.0.0.0/8']);
    expect(seen.clientAddress).toBe('203.0.113.9');
  });

  test('stops at what is no address', () => {
    expect(from('10.0.0.1', ['X-Forwarded-For', '1.1.1.1, unknown'], ['10.0.0.0/8']).clientAddress).toBe('10.0.0.1');
    expect(from('10.0.0.1', ['X-Forwarded-For', ''], ['10.0.0.0/8']).clientAddress).toBe('10.0.0.1');
  });

  test('writes an IPv6 address in brackets and quotes, and an IPv4 address on an IPv6 socket as IPv4', () => {
    expect(from('2001:db8::1', [], []).forwarded).toBe('for="[2001:db8::1]";host="shop.test";proto=http');
    expect(from('::ffff:192.0.2.1', [], ['192.0.2.1']).clientAddress).toBe('192.0.2.1');
  });

  test('an untrusted client can say nothing at all about itself', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.constantFrom('X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'Forwarded'),
            fc.string(),
          ),
        ),
        (claims) => {
          expect(from('203.0.113.9', claims.flat(), ['10.0.0.0/8'])).toEqual(from('203.0.113.9', [], []));
        },
      ),
    );
  });
});

test('trustPeers names the range that it cannot read', () => {
  for (const bad of ['10.0.0.0/33', 'localhost', '10.0.0.0/8/8', '::/129', '10.0.0.0/x']) {
    expect(() => trustPeers(['127.0.0.1', bad])).toThrow(bad);
  }
  expect(trustPeers(['::1', '127.0.0.0/8'])('127.4.5.6')).toBe(true);
  expect(trustPeers(['::1'])('::1')).toBe(true);
  expect(trustPeers(['::1'])('127.0.0.1')).toBe(false);
  expect(trustPeers(['0.0.0.0/0'])('')).toBe(false);
});
