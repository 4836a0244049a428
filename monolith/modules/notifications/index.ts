import type { ModuleDeps, ShopModule } from '../module.ts';
import { LocalNotifications } from './notifications.ts';
import { notificationRoutes } from './routes.ts';
import { defaultStreamLimits, type StreamLimits, StreamServer } from './stream-server.ts';
import { createWakeUps } from './wake-ups.ts';

export type { Notifications } from './notifications.ts';

export function createNotificationsModule(
  deps: ModuleDeps,
  { limits = defaultStreamLimits }: { limits?: StreamLimits } = {},
): ShopModule & { notifications: LocalNotifications } {
  const wakeUps = createWakeUps({ ...deps.config, redis: deps.redis, log: deps.log });
  const notifications = new LocalNotifications({ ...deps, wake: wakeUps.wake });
  const tells = () => deps.tellingSides.isShops();
  const streams = new StreamServer({ ...deps, notifications, wakeUps, tells, limits });
  return {
    notifications,
    routes: notificationRoutes({ auth: deps.auth, notifications }),
    start: async () => {
      streams.start();
      await wakeUps.start();
    },
    onUpgrade: (request, socket, head) => streams.onUpgrade(request, socket, head),
    drain: () => streams.drain(),
    stop: async () => {
      await streams.drain();
      await wakeUps.stop();
    },
  };
}
