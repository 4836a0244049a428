import { describe, expect, test } from '@jest/globals';
import { hashPassword, verifyPassword } from './password.ts';

const cheap = { logCost: 4, blockSize: 8, parallelization: 1 };

describe('password hashes', () => {
  test('a password is known by its hash, and no other is', async () => {
    const hash = await hashPassword('correct horse', cheap);
    expect(await verifyPassword('correct horse', hash)).toBe(true);
    expect(await verifyPassword('correct hors', hash)).toBe(false);
    expect(hash).not.toContain('horse');
  });

  test('the same password never has the same hash twice', async () => {
    expect(await hashPassword('x', cheap)).not.toBe(await hashPassword('x', cheap));
  });

  test('a hash is checked with the parameters it was made with', async () => {
    const hash = await hashPassword('x', { logCost: 5, blockSize: 4, parallelization: 2 });
    expect(hash).toMatch(/^\$scrypt\$ln=5,r=4,p=2\$/);
    expect(await verifyPassword('x', hash)).toBe(true);
  });

  test('it agrees with the test vector of RFC 7914 section 12', async () => {
    const hash = await hashPassword(
      'password',
      { logCost: 10, blockSize: 8, parallelization: 16 },
      Buffer.from('NaCl'),
    );
    const key = Buffer.from(hash.split('$').at(-1) ?? '', 'base64').toString('hex');
    expect(key).toBe('fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162'.slice(0, 64));
  });

  test('a stored hash that cannot be read is an error, not a wrong password', async () => {
    await expect(verifyPassword('x', 'plain text')).rejects.toThrow(/form/);
  });
});
