import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { applyQueues } from '../engine/pipe/apply-consumer.ts';

/** The first of a slice's queues that the broker does not have; undefined when all are there. Declares nothing. */
export async function missingQueue(
  rabbit: Pick<RabbitConnection, 'channel'>,
  slice: string,
): Promise<string | undefined> {
  const channel = await rabbit.channel();
  for (const queue of applyQueues(slice)) {
    try {
      await channel.checkQueue(queue);
    } catch (error) {
      // The broker has closed the channel with it.
      if ((error as { code?: unknown }).code === 404) return queue;
      throw error;
    }
  }
  await channel.close();
  return undefined;
}
