import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { acceptInstances, explainRefusal } from './accept-instances.ts';
import { allowNetworks } from './allowed-networks.ts';

describe('the networks allowed unless told otherwise', () => {
  const networks = allowNetworks();
  test.each(['127.0.0.1', '127.255.0.9', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', '::1', 'fd00::7'])(
    'hold %s',
    (address) => expect(networks.allows(address)).toBe(true),
  );
  test.each([
    '169.254.169.254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '0.0.0.0',
    '8.8.8.8',
    '172.32.0.1',
    '192.169.0.1',
    'fe80::1',
    '2001:db8::1',
    '::',
  ])('do not hold %s', (address) => expect(networks.allows(address)).toBe(false));
  test.each(['localhost', 'catalog.internal', '127.1', '0x7f000001', '2130706433', '127.0.0.1%lo', 'fd00::1%eth0', ''])(
    'do not hold "%s", which is not an address in plain digits',
    (address) => expect(networks.allows(address)).toBe(false),
  );
});

test('a network holds an IPv4 address exactly when the leading bits are the same', () => {
  const octets = fc.array(fc.nat(255), { minLength: 4, maxLength: 4 });
  const bits = (from: number[]) => from.map((octet) => octet.toString(2).padStart(8, '0')).join('');
  fc.assert(
    fc.property(octets, octets, fc.integer({ min: 1, max: 32 }), fc.nat(32), (base, other, prefix, shared) => {
      const mixed = bits(base).slice(0, shared) + bits(other).slice(shared);
      const address = [0, 8, 16, 24].map((at) => Number.parseInt(mixed.slice(at, at + 8), 2)).join('.');
      const inside = mixed.slice(0, prefix) === bits(base).slice(0, prefix);
      expect(allowNetworks([`${base.join('.')}/${prefix}`]).allows(address)).toBe(inside);
    }),
    { numRuns: 1_000 },
  );
});

test('every network that is not CIDR is named at once', () => {
  expect(() => allowNetworks(['10.0.0.0/8', '10.0.0.0', '10.0.0.0/33', 'private', '::1/129'])).toThrow(
    'found "10.0.0.0", "10.0.0.0/33", "private", "::1/129"',
  );
});

test('no network allows nothing', () => {
  expect(allowNetworks([]).allows('127.0.0.1')).toBe(false);
});

describe('announced instances', () => {
  const networks = allowNetworks();
  const announce = (address: string, port = 3101) =>
    acceptInstances([{ id: 'c1', address, port, passing: true }], networks);

  test('in an allowed network become origins, IPv6 ones in brackets', () => {
    expect(announce('127.0.0.1').accepted).toEqual([{ id: 'c1', origin: 'http://127.0.0.1:3101', passing: true }]);
    expect(announce('::1').accepted).toEqual([{ id: 'c1', origin: 'http://[::1]:3101', passing: true }]);
  });

  test('outside of them are refused, and the operator is told what to do', () => {
    const { accepted, refused } = announce('169.254.169.254', 80);
    expect(accepted).toEqual([]);
    expect(refused).toMatchObject([
      { id: 'c1', address: '169.254.169.254', port: 80, why: 'outside-allowed-networks' },
    ]);
    expect(explainRefusal(refused[0]!)).toMatch(
      /169\.254\.169\.254 lies outside the allowed networks; add its network/,
    );
  });

  test.each([
    ['localhost', 3101],
    ['127.0.0.1@evil.example', 3101],
    ['127.0.0.1:80/x', 3101],
    ['127.0.0.1', 0],
    ['127.0.0.1', 65_536],
    ['127.0.0.1', 80.5],
  ])('at "%s" port %p are refused as badly addressed', (address, port) => {
    expect(announce(address, port)).toMatchObject({ accepted: [], refused: [{ why: 'bad-address' }] });
  });

  test('with whatever address never become an origin whose host is not that address', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.webAuthority()), fc.integer(), (address, port) => {
        for (const { origin } of announce(address, port).accepted) {
          const url = new URL(origin);
          expect(networks.allows(url.hostname.replace(/^\[|\]$/g, ''))).toBe(true);
          expect(Number(url.port || 80)).toBe(port);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
