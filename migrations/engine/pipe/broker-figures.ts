import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { ChannelOpener } from '@strangler/platform/outbox/declare.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import { applyConsumerName, applyQueues } from './apply-consumer.ts';

/** What the broker knows of a slice's applier. */
export type BrokerFigures = {
  /** Queues that are there, that somebody consumes, and how many there should be. */
  queues: { declared: number; consumed: number; of: number };
  /** Messages ready for the applier; those in its hands are not among them. */
  ready: number;
  /** Null where there is no queue of dead letters. */
  deadLetters: number | null;
};

/** Asks the broker, and changes nothing. @throws RabbitAway */
export async function readBrokerFigures(
  rabbit: ChannelOpener,
  { slice }: Pick<Slice, 'slice'>,
): Promise<BrokerFigures> {
  const queues = applyQueues(slice);
  const found = await checkQueues(rabbit, [...queues, names.deadLetterQueue(applyConsumerName(slice))]);
  const work = found.slice(0, queues.length);
  const declared = work.filter((queue) => queue !== undefined);
  return {
    queues: {
      declared: declared.length,
      consumed: declared.filter(({ consumerCount }) => consumerCount > 0).length,
      of: queues.length,
    },
    ready: declared.reduce((sum, { messageCount }) => sum + messageCount, 0),
    deadLetters: found.at(-1)?.messageCount ?? null,
  };
}

type QueueFigures = { messageCount: number; consumerCount: number };

/** Undefined for a queue that is not there. The broker ends a channel that asks for one. */
async function checkQueues(rabbit: ChannelOpener, queues: readonly string[]): Promise<(QueueFigures | undefined)[]> {
  const found: (QueueFigures | undefined)[] = [];
  let channel = await rabbit.channel();
  channel.on('error', () => {});
  for (const queue of queues) {
    try {
      found.push(await channel.checkQueue(queue));
    } catch (error) {
      if ((error as { code?: number }).code !== 404) throw error;
      found.push(undefined);
      channel = await rabbit.channel();
      channel.on('error', () => {});
    }
  }
  await channel.close();
  return found;
}
