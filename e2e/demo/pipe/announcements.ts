import { appliedExchange, appliedPattern, parseAppliedMessage } from '@strangler/platform/contracts/applied-message.ts';
import { createLog } from '@strangler/platform/log.ts';
import { keepChannel } from '@strangler/platform/outbox/channel.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';

/** A captured change of which an applier has told that it is in the service's database. */
export type AppliedChange = {
  /** Of its outbox row. */
  id: string;
  /** When the writer's statement began, by the source's clock; and when it was told, by the applier's: ms since 1970. */
  atMs: number;
  appliedAtMs: number;
};

/** What appliers tell, gathered. */
export type Announcements = {
  /** Each change once, by its outbox id, as it was first told. */
  applied: ReadonlyMap<string, AppliedChange>;
  /** Changes that were told again, because they came to an applier again. */
  duplicates(): number;
  close(): Promise<void>;
};

const queue = 'demo.applied';

/**
 * Listens to what appliers tell of a slice, in a queue that outlives the broker's death, so that nothing they tell from now
 * on is missed. Resolves when the queue is bound.
 */
export const listenToAppliers = async (rabbitmqUrl: string, slice: string): Promise<Announcements> => {
  const log = createLog({ name: 'demo', level: 'silent' });
  const rabbit = connect({ url: rabbitmqUrl, log });
  const exchange = appliedExchange('outbox');
  const applied = new Map<string, AppliedChange>();
  let duplicates = 0;
  let listening = false;

  const channel = keepChannel({
    rabbit,
    log,
    async use(opened) {
      await opened.assertExchange(exchange, 'topic', { durable: true });
      await opened.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
      await opened.bindQueue(queue, exchange, appliedPattern(slice));
      await opened.prefetch(100);
      await opened.consume(queue, (delivery) => {
        if (delivery === null) return;
        const { changes, appliedAt } = parseAppliedMessage(delivery.content.toString(), queue);
        for (const { version, at } of changes) {
          if (!applied.has(version.id)) {
            applied.set(version.id, { id: version.id, atMs: Date.parse(at), appliedAtMs: Date.parse(appliedAt) });
            // The broker gives what it has not seen acknowledged once more; that is not the applier telling it twice.
          } else if (!delivery.fields.redelivered) duplicates += 1;
        }
        opened.ack(delivery);
      });
      listening = true;
    },
  });
  await eventually(() => listening);
  return {
    applied,
    duplicates: () => duplicates,
    close: async () => {
      await channel.close();
      await rabbit.close();
    },
  };
};
