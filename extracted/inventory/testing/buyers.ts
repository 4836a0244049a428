import type { BalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';

export type BuyersOptions = {
  client: BalancedGrpcClient;
  /** Distinct among runs on one database. */
  run: string;
  buyers: number;
  /** Reservations that each buyer asks for, one after the other. */
  rounds: number;
  productIds: readonly number[];
  /** From 0 up to 1, as Math.random. */
  random(): number;
  /** How long a reservation is held that its buyer means to confirm or release, and one that is left or hurried. */
  ttlMs: { patient: number; hurried: number };
  /** Called when a reservation was answered. */
  onReserved?(): void;
};

/** What buyers were told, which must be what the tables say. */
export type Told = {
  /** Reservations by the last outcome that an answer told: RESERVED for those that were left to expire. */
  outcomes: Map<string, string>;
  /** Reservations whose fate nobody was told. */
  unknown: Set<string>;
  short: number;
};

/** Buyers who reserve one to three products at random, and then confirm, release, or go away without a word. */
export async function letThemBuy(options: BuyersOptions): Promise<Told> {
  const told: Told = { outcomes: new Map(), unknown: new Set(), short: 0 };
  await Promise.all(Array.from({ length: options.buyers }, (_, buyer) => buy(options, buyer, told)));
  return told;
}

async function buy(options: BuyersOptions, buyer: number, told: Told): Promise<void> {
  const { client, run, rounds, random, ttlMs, onReserved } = options;
  const call = async (method: string, request: object) => {
    const answer = await client.call<{ outcome: string }>(method, request, { idempotent: true, deadlineMs: 30_000 });
    return answer.outcome;
  };
  for (let round = 0; round < rounds; round += 1) {
    const reservation_id = `${run}.${buyer}.${round}`;
    const fate = fateOf(random());
    const ttl_ms = fate === 'leave' || random() < 0.1 ? ttlMs.hurried : ttlMs.patient;
    try {
      const cause = { account_id: buyer + 1 };
      const outcome = await call('Reserve', { reservation_id, lines: linesOf(options), ttl_ms, cause });
      if (outcome === 'SHORT') {
        told.short += 1;
        continue;
      }
      told.outcomes.set(reservation_id, outcome);
      onReserved?.();
      if (fate === 'confirm') told.outcomes.set(reservation_id, await call('Confirm', { reservation_id }));
      if (fate === 'release') {
        told.outcomes.set(reservation_id, await call('Release', { reservation_id, reason: 'changed_mind' }));
      }
    } catch (error) {
      if (!(error instanceof GrpcCallError)) throw error;
      // What was asked for last may have been done.
      told.outcomes.delete(reservation_id);
      told.unknown.add(reservation_id);
    }
  }
}

function fateOf(chance: number): 'confirm' | 'release' | 'leave' {
  if (chance < 0.5) return 'confirm';
  return chance < 0.8 ? 'release' : 'leave';
}

function linesOf({ productIds, random }: BuyersOptions): { product_id: number; quantity: number }[] {
  const wanted = new Set<number>();
  for (let n = 1 + Math.floor(random() * 3); n > 0; n -= 1) {
    const productId = productIds[Math.floor(random() * productIds.length)];
    if (productId !== undefined) wanted.add(productId);
  }
  return [...wanted].map((product_id) => ({ product_id, quantity: 1 + Math.floor(random() * 2) }));
}

/** The same numbers for the same seed: mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
