import net, { type Socket } from 'node:net';

/** Connections of somebody who means no good, and what has become of them. */
export type Attack = {
  /** How many the server has closed so far. */
  cut(): number;
  open(): number;
  /** Bytes that came back on all of them. */
  received(): number;
  end(): void;
};

/** Begins at once; the connections come fifty at a time. */
export type StartAttack = (port: number, count: number) => Attack;

/** Opens the connections, fifty at a time, and does with each what `behave` says; `again` is called every 200 ms. */
const attackWith = (
  port: number,
  count: number,
  behave: (socket: Socket) => void,
  again: ((socket: Socket) => void) | null = null,
): Attack => {
  const open = new Set<Socket>();
  let cut = 0;
  let received = 0;
  let ended = false;
  const connect = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.once('connect', () => {
        open.add(socket);
        behave(socket);
        resolve();
      });
      socket.once('close', () => {
        if (open.delete(socket) && !ended) cut += 1;
        resolve();
      });
    });
  const connectAll = async (): Promise<void> => {
    for (let done = 0; done < count && !ended; done += 50) {
      await Promise.all(Array.from({ length: Math.min(50, count - done) }, connect));
    }
  };
  void connectAll();
  const timer = setInterval(() => {
    if (again !== null) for (const socket of open) if (socket.writable) again(socket);
  }, 200);
  return {
    cut: () => cut,
    open: () => open.size,
    received: () => received,
    end() {
      ended = true;
      clearInterval(timer);
      for (const socket of open) socket.destroy();
    },
  };
};

/** Connections that never say a word. */
const idleConnections: StartAttack = (port, count) => attackWith(port, count, () => {});

/** Heads that never end, a few bytes at a time. */
const slowHeads: StartAttack = (port, count) =>
  attackWith(
    port,
    count,
    (socket) => socket.write('GET / HTTP/1.1\r\nHost: shop.test\r\n'),
    (socket) => socket.write('X-A: b\r\n'),
  );

/** Bodies that come, but hardly. */
const slowBodies: StartAttack = (port, count) =>
  attackWith(
    port,
    count,
    (socket) => socket.write('POST /in HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000000\r\n\r\n'),
    (socket) => socket.write('a'),
  );

const endless = Buffer.from(`10000\r\n${'a'.repeat(0x10000)}\r\n`);

/** Chunks without end, as fast as they are taken. */
const endlessBodies: StartAttack = (port, count) =>
  attackWith(port, count, (socket) => {
    socket.write('POST /in HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n');
    const more = (): void => {
      while (socket.writable && socket.write(endless));
    };
    socket.on('drain', more);
    more();
  });

const manyLines = `X-Flood: ${'a'.repeat(100)}\r\n`.repeat(100);

/** Headers without end, as fast as they are taken. */
const headerFloods: StartAttack = (port, count) =>
  attackWith(port, count, (socket) => {
    socket.write('GET / HTTP/1.1\r\nHost: shop.test\r\n');
    const more = (): void => {
      while (socket.writable && socket.write(manyLines));
    };
    socket.on('drain', more);
    more();
  });

/** Who asks for a large answer and does not read it. */
const slowReaders: StartAttack = (port, count) =>
  attackWith(port, count, (socket) => {
    socket.write('GET /large HTTP/1.1\r\nHost: shop.test\r\n\r\n');
    socket.pause();
  });

/** Pipelines requests and then asks for a tunnel, so that their answers can never be given. */
const abandonedPipelines: StartAttack = (port, count) =>
  attackWith(port, count, (socket) =>
    socket.write(`${'GET /wait HTTP/1.1\r\nHost: shop.test\r\n\r\n'.repeat(5)}CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n`),
  );

export const attacks = {
  idleConnections,
  slowHeads,
  slowBodies,
  endlessBodies,
  headerFloods,
  slowReaders,
  abandonedPipelines,
};
