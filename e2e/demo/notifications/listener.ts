import { pause } from '@strangler/platform/backoff.ts';
import { WebSocket } from 'ws';

/** What a customer was told on the stream. */
export type Told = { orderId: number; kind: string; id: number };

/** A customer's open page: it listens, and comes back from where it was whenever it is cut off. */
export type Listener = {
  told: readonly Told[];
  /** How often it has come back. */
  returns(): number;
  /** The sides it has heard from. */
  sides(): ReadonlySet<'monolith' | 'service'>;
  close(): void;
};

/** The service's ids begin here. */
const firstServiceId = 1_000_000_000_000;

export const startListener = ({
  proxyUrls,
  accessToken,
  random,
}: {
  proxyUrls: readonly string[];
  accessToken: string;
  random: () => number;
}): Listener => {
  const told: Told[] = [];
  const seen = new Set<'monolith' | 'service'>();
  const last: { monolith?: number; service?: number } = {};
  const stopping = new AbortController();
  let turns = Math.floor(random() * proxyUrls.length);
  let opened = 0;

  const keep = (id: number): void => {
    const side = id >= firstServiceId ? 'service' : 'monolith';
    last[side] = Math.max(last[side] ?? 0, id);
  };
  /** Resolves when the connection is over. */
  const listen = (): Promise<void> =>
    new Promise((resolve) => {
      const url = new URL('/api/notifications/stream', proxyUrls[turns % proxyUrls.length]);
      turns += 1;
      url.protocol = 'ws:';
      url.searchParams.set('access_token', accessToken);
      const after = [last.monolith, last.service].filter((id) => id !== undefined);
      if (after.length > 0) url.searchParams.set('after', after.join(','));
      const socket = new WebSocket(url);
      const stop = (): void => socket.terminate();
      stopping.signal.addEventListener('abort', stop);
      socket.on('error', () => {});
      socket.on('message', (data) => {
        const message = JSON.parse(`${data}`);
        if (message.type === 'ready') {
          opened += 1;
          // The place from which on it is told here; its own if it has named one.
          if (after.length === 0) keep(message.after);
          return;
        }
        const { id, kind, order_id: orderId } = message.notification;
        seen.add(id >= firstServiceId ? 'service' : 'monolith');
        told.push({ orderId, kind, id });
        keep(id);
      });
      socket.on('close', () => {
        stopping.signal.removeEventListener('abort', stop);
        resolve();
      });
    });
  void (async () => {
    while (!stopping.signal.aborted) {
      await listen();
      await pause(20 + random() * 80, stopping.signal);
    }
  })();
  return { told, returns: () => Math.max(0, opened - 1), sides: () => seen, close: () => stopping.abort() };
};
