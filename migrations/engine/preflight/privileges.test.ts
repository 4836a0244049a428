import { describe, expect, test } from '@jest/globals';
import { mayDo, mayDoEverywhere, parseGrant } from './privileges.ts';

const grants = (...lines: string[]) => lines.flatMap(parseGrant);

describe('a grant', () => {
  test('of a database may stand for several by its wildcards, of which an escaped one is none', () => {
    const some = grants('GRANT SELECT, INSERT ON `shop\\_%`.* TO `a`@`%`');
    expect(mayDo(some, 'SELECT', 'shop_one', 't')).toBe(true);
    expect(mayDo(some, 'SELECT', 'shopxone', 't')).toBe(false);
    expect(mayDo(some, 'TRIGGER', 'shop_one', 't')).toBe(false);
  });

  test('of a table is of no other, and of single columns of none', () => {
    const some = grants('GRANT SELECT (id, name), TRIGGER ON `shop`.`a``b` TO `a`@`%`');
    expect(mayDo(some, 'TRIGGER', 'shop', 'a`b')).toBe(true);
    expect(mayDo(some, 'TRIGGER', 'shop', 'ab')).toBe(false);
    expect(mayDo(some, 'SELECT', 'shop', 'a`b')).toBe(false);
  });

  test('of everything is taken back for one database by a revoke', () => {
    const some = grants(
      'GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION',
      'REVOKE DROP ON `shop`.* FROM `a`@`%`',
    );
    expect(mayDo(some, 'DROP', 'other', 't')).toBe(true);
    expect(mayDo(some, 'DROP', 'shop', 't')).toBe(false);
    expect(mayDo(some, 'SELECT', 'shop', 't')).toBe(true);
    expect(mayDoEverywhere(some, 'SUPER')).toBe(true);
  });

  test('of a role or a routine says nothing of tables', () => {
    expect(
      grants(
        'GRANT `r`@`%` TO `a`@`%`',
        'GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `a`@`%`',
        'GRANT USAGE ON *.* TO `a`@`%`',
      ),
    ).toEqual([{ privileges: ['USAGE'], database: null, table: null, revoked: false }]);
  });
});
