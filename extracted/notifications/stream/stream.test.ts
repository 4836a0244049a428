import { EventEmitter } from 'node:events';
import { describe, expect, jest, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import type { Notification } from '../notifications/notification.ts';
import { closeCodes, NotificationStream } from './stream.ts';

/** A mailbox of notifications 1 to n, and a count of how often it was read. */
function mailbox(size: number) {
  const box = { size, reads: 0 };
  const read = async (afterId: number, limit: number): Promise<Notification[]> => {
    box.reads += 1;
    const ids = Array.from({ length: box.size }, (_, i) => i + 1).filter((id) => id > afterId);
    return ids.slice(0, limit).map((id) => ({ id, created_at: new Date(0), read_at: null }) as Notification);
  };
  return { box, read };
}

/** The part of a socket that a stream uses. What is sent is taken only when the test says so. */
class SlowSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  sent: number[] = [];
  waiting: ((error?: Error) => void)[] = [];
  closed: number | 'terminated' | undefined;

  send(text: string, taken: (error?: Error) => void): void {
    this.sent.push(JSON.parse(text).notification.id);
    this.waiting.push(taken);
  }
  take(error?: Error): void {
    for (const taken of this.waiting.splice(0)) taken(error);
  }
  close(code: number): void {
    this.closed = code;
    this.readyState = 2;
  }
  terminate(): void {
    this.closed = 'terminated';
    this.readyState = 3;
  }
}

function streamOver(size: number, { sendTimeoutMs = 10_000, after = 0 } = {}) {
  const socket = new SlowSocket();
  const { box, read } = mailbox(size);
  const onSlow = jest.fn();
  const onError = jest.fn();
  const stream = new NotificationStream({
    socket: socket as unknown as WebSocket,
    after,
    read,
    sendTimeoutMs,
    onSlow,
    onError,
  });
  return { socket, box, stream, onSlow, onError };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('a stream of notifications', () => {
  test('reads no further page until the client has taken the one before', async () => {
    const { socket, box, stream } = streamOver(120);
    stream.wake();
    await settle();
    expect([socket.sent.length, box.reads]).toEqual([50, 1]);
    for (let i = 0; i < 20; i += 1) stream.wake();
    await settle();
    expect([socket.sent.length, box.reads]).toEqual([50, 1]);
    socket.take();
    await settle();
    expect([socket.sent.length, box.reads]).toEqual([100, 2]);
    socket.take();
    await settle();
    socket.take();
    await settle();
    expect(socket.sent).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
    expect(stream.lastId).toBe(120);
  });

  test('sends what comes while it is sending, though it was woken for it only once', async () => {
    const { socket, box, stream } = streamOver(1);
    stream.wake();
    await settle();
    box.size = 2;
    stream.wake();
    socket.take();
    await settle();
    socket.take();
    await settle();
    expect(socket.sent).toEqual([1, 2]);
  });

  test('gives up a client that does not take what is sent', async () => {
    const { socket, stream, onSlow } = streamOver(1, { sendTimeoutMs: 1 });
    stream.wake();
    await new Promise<void>((resolve) => onSlow.mockImplementation(() => resolve()));
    await settle();
    expect(socket.closed).toBe(closeCodes.tooSlow);
  });

  test('counts nothing as sent that the socket has not taken', async () => {
    const { socket, stream } = streamOver(3);
    stream.wake();
    await settle();
    socket.readyState = 3;
    socket.take(new Error('gone'));
    await settle();
    expect(stream.lastId).toBeLessThan(3);
    expect(socket.sent).toHaveLength(3);
  });

  test('closes with an error when the mailbox cannot be read, and can be woken no further', async () => {
    const socket = new SlowSocket();
    const onError = jest.fn();
    const stream = new NotificationStream({
      socket: socket as unknown as WebSocket,
      after: 0,
      read: async () => {
        throw new Error('the database is away');
      },
      sendTimeoutMs: 1_000,
      onSlow: () => {},
      onError,
    });
    stream.wake();
    await settle();
    expect([socket.closed, onError.mock.calls.length]).toEqual([closeCodes.internalError, 1]);
    stream.wake();
    await settle();
    expect(onError).toHaveBeenCalledTimes(1);
  });
});
