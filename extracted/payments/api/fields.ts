import { z } from 'zod';

export const id = z.int().min(1);
export const cents = z.int().min(1).max(1_000_000_000);
export const currency = z.string().regex(/^[A-Z]{3}$/, 'must be three capital letters');
export const cardToken = z
  .string()
  .regex(/^tok_[a-z0-9_]{1,60}$/, 'must be a card token: tok_ and small letters, digits or _');
