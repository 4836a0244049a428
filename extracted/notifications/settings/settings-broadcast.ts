import type { Log } from '@strangler/platform/log.ts';
import { keepChannel } from '@strangler/platform/outbox/channel.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Publisher } from '../exchanges/publisher.ts';
import { own } from '../exchanges/topology.ts';
import type { Settings } from './settings.ts';

export type SettingsBroadcast = {
  /** Tells every instance to look. Those that cannot be told look when they are connected again. */
  tell(): Promise<void>;
  /** Whether this instance hears of changes. */
  hearing(): boolean;
  stop(): Promise<void>;
};

/** Each instance has a queue of its own on the fan-out, which goes when it does: what it missed, it reads anew when it is back. */
export function broadcastSettings({
  rabbit,
  publisher,
  prefix,
  settings,
  log,
}: {
  rabbit: RabbitConnection;
  publisher: Publisher;
  prefix: string;
  settings: Settings;
  log: Log;
}): SettingsBroadcast {
  let hearing = false;
  const look = () =>
    settings.reload().catch((error: unknown) => log.warn({ err: error }, 'changed settings could not be read yet'));

  const kept = keepChannel({
    rabbit,
    log,
    async use(channel) {
      channel.once('close', () => {
        hearing = false;
      });
      const { queue } = await channel.assertQueue('', {
        exclusive: true,
        autoDelete: true,
        durable: false,
        arguments: { 'x-max-length': 100, 'x-overflow': 'drop-head' },
      });
      await channel.bindQueue(queue, own.settings(prefix), '');
      await channel.consume(queue, (message) => {
        if (message === null) return void channel.close().catch(() => {});
        channel.ack(message);
        void look();
      });
      hearing = true;
      await look();
    },
  });

  return {
    hearing: () => hearing,
    tell: () =>
      publisher.broadcast({
        exchange: own.settings(prefix),
        routingKey: '',
        body: { changed: 'settings' },
        messageId: 'settings',
      }),
    stop: () => kept.close(),
  };
}
