import { describe, expect, test } from '@jest/globals';
import { describeDiscovery } from './discovery-conformance.ts';
import { parseStaticInstances, staticDiscovery } from './static-discovery.ts';

describeDiscovery('static instances', {
  async open(services) {
    const text = Object.entries(services)
      .map(([service, ports]) => `${service}=${ports.map((port) => `http://127.0.0.1:${port}`).join(',')}`)
      .join(';');
    return { discovery: staticDiscovery(parseStaticInstances(text)), close: async () => {} };
  },
});

describe('the text of static instances', () => {
  test.each([
    'catalog=http://127.0.0.1:3101,http://127.0.0.1:3102;orders=https://orders.internal',
    ' catalog = http://127.0.0.1:3101/ , http://127.0.0.1:3102 ;\n orders=https://orders.internal:443 ; ',
    'catalog=http://127.0.0.1:3101,http://127.0.0.1:3102\norders=https://orders.internal',
  ])('%p is read', (text) => {
    expect(Object.fromEntries(parseStaticInstances(text))).toEqual({
      catalog: [
        { id: 'http://127.0.0.1:3101', origin: 'http://127.0.0.1:3101', passing: true },
        { id: 'http://127.0.0.1:3102', origin: 'http://127.0.0.1:3102', passing: true },
      ],
      orders: [{ id: 'https://orders.internal', origin: 'https://orders.internal', passing: true }],
    });
  });

  test('may be empty', () => expect(parseStaticInstances('').size).toBe(0));

  test('is refused with everything that is wrong in it', () => {
    const text =
      'catalog=127.0.0.1:3101,http://127.0.0.1:3102/path;nothing;orders=ftp://127.0.0.1,http://u:p@127.0.0.1;catalog=http://a,http://a';
    expect(() => parseStaticInstances(text)).toThrow(
      new RangeError(
        'Static instances: catalog: expected an origin such as http://127.0.0.1:3101, found "127.0.0.1:3101"; ' +
          'catalog: expected an origin such as http://127.0.0.1:3101, found "http://127.0.0.1:3102/path"; ' +
          'expected service=origin,origin, found "nothing"; ' +
          'orders: expected an origin such as http://127.0.0.1:3101, found "ftp://127.0.0.1"; ' +
          'orders: expected an origin such as http://127.0.0.1:3101, found "http://u:p@127.0.0.1"; ' +
          'catalog is named twice; catalog: http://a stands there twice',
      ),
    );
  });
});
