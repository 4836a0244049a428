import { z } from 'zod';

/** The name of whoever calls, and of whoever is called: one for all instances of a program. */
export const serviceName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be a name of lower-case letters, digits and hyphens');

/** The id of a key, among those of one service. */
export const keyId = z.string().regex(/^[A-Za-z0-9._-]{1,100}$/, 'must be 1 to 100 of letters, digits, . _ -');
