import net from 'node:net';

/** What becomes of bytes between a client and a server: passed on, held back, or the connection not taken at all. */
export type TcpProxyMode = 'pass' | 'hold answers' | 'stall' | 'refuse';

export type TcpProxy = {
  readonly host: string;
  readonly port: number;
  /** The target's address with this proxy in place of its host and port. */
  readonly url: string;
  /** Connections that are open now. */
  connections(): number;
  pass(): Promise<void>;
  /** Nothing gets through, in either direction, and nobody is told: connections stay open. `pass` lets all flow on. */
  stall(): Promise<void>;
  /** What clients send gets through, what the server answers does not; until `pass`. */
  holdAnswers(): void;
  /** Resets every open connection; new ones are taken. */
  cut(): void;
  /** Resets every open connection and stops listening, until `pass`. */
  refuse(): Promise<void>;
  close(): Promise<void>;
};

/** Puts a TCP proxy on a port of its own before the server that `targetUrl` names by host and port. */
export async function startTcpProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl);
  const host = '127.0.0.1';
  const pairs = new Set<[net.Socket, net.Socket]>();
  let mode: TcpProxyMode = 'pass';
  let server: net.Server | undefined;

  function accept(client: net.Socket): void {
    const upstream = net.connect({ host: target.hostname, port: Number(target.port), allowHalfOpen: true });
    const pair: [net.Socket, net.Socket] = [client, upstream];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
    client.pipe(upstream);
    upstream.pipe(client);
    hold(pair);
  }

  function hold([client, upstream]: [net.Socket, net.Socket]): void {
    if (mode !== 'stall' && mode !== 'hold answers') return;
    upstream.unpipe(client);
    upstream.pause();
    if (mode === 'hold answers') return;
    client.unpipe(upstream);
    client.pause();
  }

  function flow([client, upstream]: [net.Socket, net.Socket]): void {
    client.unpipe(upstream).pipe(upstream);
    upstream.unpipe(client).pipe(client);
  }

  function reset(): void {
    for (const socket of [...pairs].flat()) {
      // libuv refuses to reset a socket that is shutting down, and Node then never closes it.
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
    pairs.clear();
  }

  function listen(port: number): Promise<number> {
    const listening = net.createServer({ allowHalfOpen: true }, accept);
    server = listening;
    return new Promise((resolve, reject) => {
      listening.once('error', reject);
      listening.listen(port, host, () => resolve((listening.address() as net.AddressInfo).port));
    });
  }

  function stopListening(): Promise<void> {
    const closing = server;
    server = undefined;
    return new Promise((resolve) => (closing ? closing.close(() => resolve()) : resolve()));
  }

  const port = await listen(0);
  const url = new URL(targetUrl);
  url.hostname = host;
  url.port = String(port);

  return {
    host,
    port,
    url: targetUrl.endsWith('/') ? url.href : url.href.replace(/\/$/, ''),
    connections: () => pairs.size,
    async pass() {
      for (const pair of pairs) flow(pair);
      if (mode === 'refuse') await listen(port);
      mode = 'pass';
    },
    async stall() {
      if (mode === 'refuse') await listen(port);
      mode = 'stall';
      for (const pair of pairs) hold(pair);
    },
    holdAnswers() {
      mode = 'hold answers';
      for (const pair of pairs) hold(pair);
    },
    cut: reset,
    async refuse() {
      if (mode === 'refuse') return;
      mode = 'refuse';
      const stopped = stopListening();
      reset();
      await stopped;
    },
    async close() {
      const stopped = stopListening();
      reset();
      await stopped;
    },
  };
}
