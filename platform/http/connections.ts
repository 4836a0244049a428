import type { Socket } from 'node:net';

export type ConnectionBounds = {
  /** Open at once; where one more comes, one that waits for nothing is closed for it. */
  most: number;
  onCount(open: number): void;
  /** An idle connection was closed for a new one. */
  onEvicted(): void;
  /** Every connection was busy, so the new one was closed. */
  onDropped(): void;
};

/** The connections of a server, and what each is doing. */
export type Connections = {
  all: ReadonlySet<Socket>;
  /** False where there was no room for it; it has been closed then. */
  opened(socket: Socket): boolean;
  /** A request has come on it, or it was upgraded. */
  busy(socket: Socket): void;
  /** Everything asked on it has been answered. */
  idle(socket: Socket): void;
};

/**
 * Makes room by closing what nobody is served on: first those that never sent a whole head, which is how connections are
 * held on purpose (slow heads, silence), the oldest first; then those that have been idle the longest. A client that asks
 * is so never turned away for clients that do not.
 */
export function createConnections({ most, onCount, onEvicted, onDropped }: ConnectionBounds): Connections {
  const all = new Set<Socket>();
  // Sets keep the order in which things were put in.
  const unused = new Set<Socket>();
  const resting = new Set<Socket>();

  const forget = (socket: Socket): void => {
    if (!all.delete(socket)) return;
    unused.delete(socket);
    resting.delete(socket);
    onCount(all.size);
  };

  const makeRoom = (): boolean => {
    const [victim] = unused.size > 0 ? unused : resting;
    if (victim === undefined) return false;
    forget(victim);
    victim.destroy();
    onEvicted();
    return true;
  };

  return {
    all,
    opened(socket) {
      if (all.size >= most && !makeRoom()) {
        onDropped();
        socket.destroy();
        return false;
      }
      all.add(socket);
      unused.add(socket);
      onCount(all.size);
      socket.once('close', () => forget(socket));
      return true;
    },
    busy(socket) {
      unused.delete(socket);
      resting.delete(socket);
    },
    idle(socket) {
      if (all.has(socket)) resting.add(socket);
    },
  };
}
