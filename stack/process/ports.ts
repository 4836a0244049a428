import { connect, createServer } from 'node:net';

export class PortTakenError extends Error {
  override name = 'PortTakenError';
}

/** Whether a server could listen on this port of the loopback address now. Takes it for a moment: who waits for a server asks `portAnswers`. */
export function portIsFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Whether somebody listens on this port of the loopback address. Takes nothing, not for a moment, from who is about to listen there. */
export function portAnswers(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const end = (answers: boolean) => {
      socket.destroy();
      resolve(answers);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}

/**
 * `count` ports that are free now, all different, below the range from which the kernel takes ports for outgoing
 * connections: a port from inside it could be taken by any connection between now and the server's start.
 */
export async function pickPorts(
  count: number,
  options: {
    from?: number;
    to?: number;
    taken?: ReadonlySet<number>;
    random?: () => number;
    isFree?: (port: number) => Promise<boolean>;
  } = {},
): Promise<number[]> {
  const { from = 20_000, to = 32_000, taken = new Set(), random = Math.random, isFree = portIsFree } = options;
  const size = to - from;
  const start = Math.floor(random() * size);
  const picked: number[] = [];
  for (let step = 0; step < size && picked.length < count; step++) {
    const port = from + ((start + step) % size);
    if (!taken.has(port) && (await isFree(port))) picked.push(port);
  }
  if (picked.length < count)
    throw new Error(`only ${picked.length} of ${count} ports between ${from} and ${to} are free`);
  return picked;
}

/** Throws when a port that was asked for by name is taken. */
export async function requireFree(port: number, what: string, variable: string): Promise<void> {
  if (await portIsFree(port)) return;
  throw new PortTakenError(
    `port ${port} for ${what} is taken on 127.0.0.1; end what listens there (ss -ltnp 'sport = :${port}' names it), or set ${variable} to another port, or unset it to have a free one picked`,
  );
}
