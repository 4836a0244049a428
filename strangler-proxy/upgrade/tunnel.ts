import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Two connections that are one: what comes from either goes to the other, and neither outlives the other. */
export type Tunnel = {
  /** Ends both sides, and cuts what has not ended `cutAfterMs` later. */
  end(cutAfterMs: number): void;
};

/** Joins two connections; `onClosed` is called once, when both are closed. */
export function joinTunnel(client: Duplex, upstream: Duplex, onClosed: () => void): Tunnel {
  let open = 2;
  const ready = (socket: Duplex) => {
    const tcp = socket as Socket;
    tcp.setTimeout?.(0);
    tcp.setNoDelay?.(true);
    tcp.setKeepAlive?.(true, 30_000);
  };
  const follow = (from: Duplex, to: Duplex) => {
    ready(from);
    // A reset on one side is a reset on the other: an end would say that all had been sent.
    from.on('error', () => cut(to));
    from.on('close', () => {
      if (!from.readableEnded) cut(to);
      else to.end();
      open -= 1;
      if (open === 0) onClosed();
    });
    from.pipe(to);
  };
  follow(client, upstream);
  follow(upstream, client);
  return {
    end(cutAfterMs) {
      client.end();
      upstream.end();
      const timer = setTimeout(() => {
        client.destroy();
        upstream.destroy();
      }, cutAfterMs);
      timer.unref();
    },
  };
}

function cut(socket: Duplex): void {
  if (socket.destroyed) return;
  const tcp = socket as Socket;
  if (typeof tcp.resetAndDestroy === 'function' && !('encrypted' in tcp)) tcp.resetAndDestroy();
  else socket.destroy();
}
