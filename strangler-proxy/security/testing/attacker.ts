import { attacks } from './attacks.ts';

/** What the attacker is told on its channel, and what it tells in return, every 50 ms. */
export type AttackOrder = { attack: keyof typeof attacks; port: number; count: number };
export type AttackReport = { cut: number; open: number };

// A process of its own: a flood must not slow the honest client down otherwise than by what it does to the proxy.
process.once('message', (order: AttackOrder) => {
  const attack = attacks[order.attack](order.port, order.count);
  setInterval(() => process.send?.({ cut: attack.cut(), open: attack.open() } satisfies AttackReport), 50);
});
process.once('disconnect', () => process.exit(0));
