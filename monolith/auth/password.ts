import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

/** Work factors of scrypt (RFC 7914). `logCost` is the binary logarithm of its N. */
export type ScryptParameters = { logCost: number; blockSize: number; parallelization: number };

/** The OWASP Password Storage Cheat Sheet's recommendation for 32 MiB. */
export const defaultScryptParameters: ScryptParameters = { logCost: 15, blockSize: 8, parallelization: 3 };

const KEY_BYTES = 32;
const SALT_BYTES = 16;

/**
 * A password's hash in the PHC string format, `$scrypt$ln=15,r=8,p=3$salt$key`: its parameters travel with it, so they
 * can be raised later without locking anyone out.
 */
export async function hashPassword(
  password: string,
  parameters: ScryptParameters = defaultScryptParameters,
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<string> {
  const key = await derive(password, salt, parameters);
  const { logCost, blockSize, parallelization } = parameters;
  return `$scrypt$ln=${logCost},r=${blockSize},p=${parallelization}$${unpadded(salt)}$${unpadded(key)}`;
}

/** Whether the password is the one that was hashed. Takes the same time either way. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parts = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(hash);
  if (!parts) throw new Error('A stored password hash is not of the form $scrypt$ln=…,r=…,p=…$salt$key');
  const [, logCost, blockSize, parallelization, salt = '', key = ''] = parts;
  const expected = Buffer.from(key, 'base64');
  const found = await derive(password, Buffer.from(salt, 'base64'), {
    logCost: Number(logCost),
    blockSize: Number(blockSize),
    parallelization: Number(parallelization),
  });
  return expected.length === found.length && timingSafeEqual(expected, found);
}

function derive(password: string, salt: Buffer, parameters: ScryptParameters): Promise<Buffer> {
  const options: ScryptOptions = {
    N: 2 ** parameters.logCost,
    r: parameters.blockSize,
    p: parameters.parallelization,
    maxmem: 256 * 1024 * 1024,
  };
  return new Promise((resolve, reject) => {
    // The same text can be typed as different code points; NFKC makes them one password (RFC 8265 goes the same way).
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
