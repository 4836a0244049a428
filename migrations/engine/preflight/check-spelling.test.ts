import { expect, test } from '@jest/globals';
import { checkSpelling } from './check-spelling.ts';

const at = (name: string) => ({ database: 'shop', name });

test('a table that the server finds under another spelling must be named to the letter', () => {
  expect(checkSpelling({ source: 'products', target: 'Goods' }, at('products'), at('Goods'))).toEqual([]);
  const findings = checkSpelling({ source: 'Products', target: 'Goods' }, at('products'), at('goods'));
  expect(findings.map(({ level, where, remedy }) => [level, where, remedy])).toEqual([
    ['refuse', 'source shop.products', 'write source: products in the slice file'],
    ['refuse', 'target shop.goods', 'write target: goods in the slice file'],
  ]);
});
