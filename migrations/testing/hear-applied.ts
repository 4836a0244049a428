import {
  type AppliedMessage,
  appliedExchange,
  appliedPattern,
  parseAppliedMessage,
} from '@strangler/platform/contracts/applied-message.ts';
import { formatVersion } from '@strangler/platform/contracts/row-message.ts';
import type { Pipe } from './start-pipe.ts';

/** All that the slice's appliers announce from now on, as it comes; grows until the pipe is closed. */
export async function hearApplied(pipe: Pipe): Promise<AppliedMessage[]> {
  const exchange = appliedExchange(pipe.exchange);
  const channel = await pipe.rabbit.channel();
  await channel.assertExchange(exchange, 'topic', { durable: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, exchange, appliedPattern(pipe.slice.slice));
  const heard: AppliedMessage[] = [];
  await channel.consume(
    queue,
    (message) => {
      if (message !== null) heard.push(parseAppliedMessage(message.content.toString(), message.fields.routingKey));
    },
    { noAck: true },
  );
  pipe.onClose(() => channel.close().catch(() => {}));
  return heard;
}

/** The changes that were announced, each as `<source table> <key text> <epoch>/<id>`. */
export const announcedChanges = (heard: readonly AppliedMessage[]): Set<string> =>
  new Set(
    heard.flatMap(({ table, changes }) =>
      changes.map(({ keyText, version }) => `${table} ${keyText} ${formatVersion(version)}`),
    ),
  );
