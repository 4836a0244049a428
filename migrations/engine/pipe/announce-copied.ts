import {
  type AppliedMessage,
  appliedExchange,
  appliedRoutingKey,
  formatAppliedMessage,
} from '@strangler/platform/contracts/applied-message.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { MappedTable } from '../apply/row-shape.ts';

/**
 * Tells whoever derives something from a service's rows that any row of these tables may be another: a copy is not
 * announced row by row. Resolves when the broker has taken it; throws when it has not.
 */
export async function announceCopied(
  rabbit: Pick<RabbitConnection, 'confirmChannel'>,
  { exchange, slice, tables, now }: { exchange: string; slice: string; tables: readonly MappedTable[]; now: Date },
): Promise<void> {
  const channel = await rabbit.confirmChannel();
  try {
    const applied = appliedExchange(exchange);
    await channel.assertExchange(applied, 'topic', { durable: true });
    for (const { mapping } of tables) {
      const { source: table, target } = mapping;
      const message: AppliedMessage = {
        ...{ slice, table, target, appliedAt: now.toISOString() },
        extent: 'table',
        changes: [],
      };
      channel.publish(applied, appliedRoutingKey(slice, table), Buffer.from(formatAppliedMessage(message)), {
        ...{ persistent: true, contentType: 'application/json', contentEncoding: 'utf-8', type: 'applied' },
      });
    }
    await channel.waitForConfirms();
  } finally {
    await channel.close().catch(() => {});
  }
}
