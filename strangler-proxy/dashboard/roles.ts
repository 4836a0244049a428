import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

/** `viewer` looks on; `operator` changes percentages; `admin` also orders stage changes. Each may do what the ones before it may. */
export const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Somebody who has shown a token. */
export type Person = { name: string; role: Role };

/** Finds who holds a token; undefined for one that nobody holds. Takes as long for every token. */
export type TokenHolders = { find(token: string): Person | undefined; size: number };

export const allows = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed);

const holder = z
  .strictObject({
    /** Stands in the history beside every change. */
    name: z
      .string()
      .min(1)
      .max(100)
      .regex(/^[^\p{Cc}]+$/u, 'must not hold control characters'),
    role: z.enum(roles),
    token: z.string().min(24, 'must have at least 24 characters').max(512).optional(),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
      .optional(),
  })
  .refine(({ token, sha256 }) => (token === undefined) !== (sha256 === undefined), {
    message: 'must have either "token" or "sha256"',
  });

const holdersFile = z.array(holder).min(1, 'must name at least one person').max(1_000);

/** A file of tokens that cannot be used; the message names every fault and no token. */
export class TokensFileError extends Error {
  override name = 'TokensFileError';
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/**
 * Reads a list of `{ "name", "role", "token" or "sha256" }` from JSON text.
 * @throws TokensFileError
 */
export const readTokenHolders = (text: string, origin: string): TokenHolders => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TokensFileError(`${origin}: expected a JSON list of { "name", "role", "token" }, found no JSON`);
  }
  const parsed = holdersFile.safeParse(value);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'list'}: ${message}`);
    throw new TokensFileError(`${origin}: ${faults.join('; ')}`);
  }
  const known = parsed.data.map(({ name, role, token, sha256 }) => ({
    person: { name, role },
    digest: token === undefined ? Buffer.from(sha256!, 'hex') : digest(token),
  }));
  const names = known.map(({ person }) => person.name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) {
    throw new TokensFileError(`${origin}: expected each name once, found ${JSON.stringify(twice)} twice`);
  }
  if (new Set(known.map((one) => one.digest.toString('hex'))).size !== known.length) {
    throw new TokensFileError(`${origin}: expected a token of its own for each name, found one twice`);
  }
  return {
    size: known.length,
    find(token) {
      const given = digest(token);
      let found: Person | undefined;
      // Every digest is looked at: how long it takes says nothing of which one fits.
      for (const one of known) if (timingSafeEqual(one.digest, given)) found = one.person;
      return found;
    },
  };
};
