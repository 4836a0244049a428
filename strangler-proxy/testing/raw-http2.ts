import { once } from 'node:events';
import { connect } from 'node:tls';
import { eventually } from '@strangler/platform/testing/eventually.ts';

/** A frame as it came (RFC 9113 §4.1). */
export type RawFrame = { type: number; flags: number; stream: number; payload: Buffer };

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flagOf = { endStream: 1, ack: 1, endHeaders: 4 } as const;

/** Codes that frames and streams end with. */
export const codes = { none: 0, protocol: 1, refused: 7, cancel: 8, calm: 11 } as const;

export type RawHttp2 = {
  frames: RawFrame[];
  send(frames: Buffer): void;
  closed(): boolean;
  /** The code of the GOAWAY that came last; null where none has. */
  goneWith(): number | null;
  /** Waits for a frame of this type on this stream. */
  seen(type: number, stream: number): Promise<RawFrame>;
  close(): void;
};

/** One frame in bytes. */
export const frame = (type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};

/** A block of headers in which each is written out (RFC 7541 §6.2.2), so that anything can be said. */
export const block = (headers: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length: number[] = [127];
  let left = bytes.length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) length.push((left % 128) + 128);
  return Buffer.concat([Buffer.from([...length, left]), bytes]);
};

export const requestHead = (
  more: readonly (readonly [string, string])[] = [],
  { method = 'GET', path = '/', scheme = 'https', authority = 'shop.test' } = {},
): Buffer => block([[':method', method], [':scheme', scheme], [':path', path], ...authorityLine(authority), ...more]);

const authorityLine = (authority: string): [string, string][] => (authority === '' ? [] : [[':authority', authority]]);

export const getFrame = (stream: number, more: readonly (readonly [string, string])[] = [], of = {}): Buffer =>
  frame(frameTypes.headers, flagOf.endHeaders | flagOf.endStream, stream, requestHead(more, of));

export const resetFrame = (stream: number, code: number = codes.cancel): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(code);
  return frame(frameTypes.reset, 0, stream, payload);
};

/** SETTINGS with these, by number. */
export const settingsFrame = (settings: readonly (readonly [number, number])[] = []): Buffer => {
  const payload = Buffer.alloc(6 * settings.length);
  for (const [at, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, 6 * at);
    payload.writeUInt32BE(value, 6 * at + 2);
  }
  return frame(frameTypes.settings, 0, 0, payload);
};

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** An HTTP/2 client that sends what it is told and nothing else, but for the preface. */
export const connectRaw = async (port: number, settings = settingsFrame()): Promise<RawHttp2> => {
  const socket = connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  const frames: RawFrame[] = [];
  let received = Buffer.alloc(0);
  let closed = false;
  socket.on('error', () => {});
  socket.once('close', () => {
    closed = true;
  });
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 9) {
      const length = received.readUIntBE(0, 3);
      if (received.length < 9 + length) return;
      frames.push({
        type: received[3]!,
        flags: received[4]!,
        stream: received.readUInt32BE(5) & 0x7f_ff_ff_ff,
        payload: received.subarray(9, 9 + length),
      });
      received = received.subarray(9 + length);
    }
  });
  await once(socket, 'secureConnect');
  if (settings.length > 0) socket.write(Buffer.concat([preface, settings]));
  const find = (type: number, stream: number) => frames.find((one) => one.type === type && one.stream === stream);
  return {
    frames,
    send: (bytes) => void socket.write(bytes),
    closed: () => closed,
    goneWith: () => frames.findLast(({ type }) => type === frameTypes.goaway)?.payload.readUInt32BE(4) ?? null,
    seen: async (type, stream) => {
      await eventually(() => find(type, stream) !== undefined);
      return find(type, stream)!;
    },
    close: () => socket.destroy(),
  };
};
