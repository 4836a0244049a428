import { GrpcError } from '@strangler/platform/grpc/errors.ts';
import { Problem } from '@strangler/platform/http/problem.ts';
import { parsePart } from '@strangler/platform/http/validate.ts';
import { z } from 'zod';

/** The most lines of a reservation, and the most ids of one question. */
export const MOST_LINES = 200;
export const MOST_IDS = 200;

/** What one reservation may take of a product: as much as a stock level is ever changed by at once. */
const MOST_QUANTITY = 1_000_000;

const id = z.int().min(1);
const reservationId = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, . _ or -');
const optionalId = id.optional().transform((value) => value ?? null);

const lines = z
  .array(z.object({ product_id: id, quantity: z.int().min(1).max(MOST_QUANTITY) }))
  .min(1)
  .max(MOST_LINES)
  .refine((all) => new Set(all.map(({ product_id }) => product_id)).size === all.length, 'must name each product once')
  .transform((all) => all.map(({ product_id, quantity }) => ({ productId: product_id, quantity })));

const cause = z
  .object({ account_id: optionalId, order_id: optionalId })
  .nullish()
  .transform((value) => value ?? { account_id: null, order_id: null });

const ids = z
  .array(id)
  .min(1)
  .max(MOST_IDS)
  .transform((all) => [...new Set(all)]);

const schemas = {
  reserve: (mostTtlMs: number) =>
    z.object({ reservation_id: reservationId, lines, ttl_ms: z.int().min(1_000).max(mostTtlMs), cause }),
  confirm: z.object({ reservation_id: reservationId, order_id: optionalId }),
  release: z.object({
    reservation_id: reservationId,
    reason: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, 'must be a word such as payment_failed'),
  }),
  surrender: z
    .object({ reservation_id: reservationId.optional(), order_id: id.optional() })
    .refine((by) => (by.reservation_id === undefined) !== (by.order_id === undefined), 'must name one of the two'),
  giveBack: z.object({ order_id: id, lines, reservation_id: reservationId.optional(), account_id: optionalId }),
  ids: z.object({ ids }),
};

/** Messages as the service takes them; INVALID_ARGUMENT, naming every fault, for what it does not. */
export const requests = {
  reserve: (message: object, mostTtlMs: number) => parsed(schemas.reserve(mostTtlMs), message),
  confirm: (message: object) => parsed(schemas.confirm, message),
  release: (message: object) => parsed(schemas.release, message),
  surrender: (message: object) => parsed(schemas.surrender, message),
  giveBack: (message: object) => parsed(schemas.giveBack, message),
  ids: (message: object) => parsed(schemas.ids, message).ids,
};

function parsed<S extends z.ZodType>(schema: S, message: object): z.output<S> {
  try {
    return parsePart('body', schema, message);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const faults = error.errors?.map(({ path, message: fault }) => `${path}: ${fault}`).join('; ');
    throw new GrpcError('INVALID_ARGUMENT', faults ?? error.title);
  }
}
