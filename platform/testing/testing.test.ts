import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { eventually, freePort, rawHttp, testServers } from './servers.ts';

describe('eventually', () => {
  test('waits until it succeeds and gives the value', async () => {
    let tries = 0;
    const value = await eventually(() => {
      tries += 1;
      if (tries === 1) throw new Error('not yet');
      return tries === 3 && 'now';
    });
    expect(value).toBe('now');
  });

  test('takes undefined for success, so that assertions can be passed', async () => {
    await eventually(() => expect(1).toBe(1));
  });

  test('names the last failure when time is up', async () => {
    const attempt = eventually(() => Promise.reject(new Error('the queue has 3 messages')), { withinMs: 30 });
    await expect(attempt).rejects.toThrow('not within 30 ms; the last failure: the queue has 3 messages');
    await expect(eventually(() => 0, { withinMs: 20 })).rejects.toThrow('it returned 0');
  });

  test('does not wait for an attempt that never ends', async () => {
    await expect(eventually(() => new Promise(() => {}), { withinMs: 20 })).rejects.toThrow('has not ended');
  });

  test('names what it waits for', async () => {
    await expect(eventually(() => false, { withinMs: 20, what: 'the gate' })).rejects.toThrow(
      'the gate: not within 20 ms; the last failure: it returned false',
    );
  });

  test('ends with the reason of its signal, in the middle of an attempt or between two', async () => {
    for (const attempt of [() => new Promise(() => {}), () => false]) {
      const waiting = eventually(attempt, { signal: AbortSignal.timeout(20) });
      await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' });
    }
    const attempt = jest.fn();
    await expect(eventually(attempt, { signal: AbortSignal.abort(new Error('over')) })).rejects.toThrow('over');
    expect(attempt).not.toHaveBeenCalled();
  });

  test('does not try again after a failure that is final', async () => {
    let tries = 0;
    const attempt = () => {
      tries += 1;
      throw new Error(tries === 3 ? 'gone for good' : 'not yet');
    };
    const isFinal = (failure: unknown) => (failure as Error).message === 'gone for good';
    await expect(eventually(attempt, { isFinal })).rejects.toThrow(/^gone for good$/);
    expect(tries).toBe(3);
  });

  test('takes an attempt that never ends for none that is final', async () => {
    let tries = 0;
    const attempt = () => {
      tries += 1;
      if (tries === 1) throw new Error('the gate is shut');
      return new Promise(() => {});
    };
    const isFinal = (failure: unknown) => (failure as Error).message !== 'the gate is shut';
    await expect(eventually(attempt, { withinMs: 50, isFinal })).rejects.toThrow(
      'not within 50 ms; the last failure: the gate is shut',
    );
  });
});

describe('testServers', () => {
  const before = process.env.TEST_STACK;
  afterEach(() => {
    if (before === undefined) delete process.env.TEST_STACK;
    else process.env.TEST_STACK = before;
  });

  test('says what to do when there are none, and what is wrong with what it was given', () => {
    delete process.env.TEST_STACK;
    expect(testServers).toThrow('Run it through jest as project `integration` or `data`');
    process.env.TEST_STACK = '{';
    expect(testServers).toThrow('TEST_STACK is not JSON');
    process.env.TEST_STACK = '{"engine":"mysql"}';
    expect(testServers).toThrow('mysqlUrl');
  });
});

test('freePort gives a port that can be listened on', async () => {
  const port = await freePort();
  const server = http.createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.close();
});

describe('rawHttp', () => {
  const servers: net.Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function listen(server: net.Server): Promise<number> {
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  test('sends the bytes as they are, in as many pieces, and gives back what came', async () => {
    let received = '';
    const port = await listen(
      net.createServer((socket) => {
        socket.on('data', (chunk) => {
          received += chunk.toString('latin1');
          if (received.endsWith('END'))
            socket.end(Buffer.from('HTTP/1.1 200 Fine by me\r\nX: 1\r\nx: 2\r\n\r\n\xff', 'latin1'));
        });
      }),
    );
    const answer = await rawHttp({ port, bytes: ['a\n\0', Buffer.from([0xff]), 'END'], pauseMs: 1 });
    expect(received).toBe('a\n\0\xffEND');
    expect(answer).toMatchObject({
      head: {
        httpVersion: '1.1',
        status: 200,
        reason: 'Fine by me',
        rawHeaders: [
          ['X', '1'],
          ['x', '2'],
        ],
        headers: { x: ['1', '2'] },
      },
      statuses: [200],
      ended: 'closed',
    });
    expect(answer.bytes.at(-1)).toBe(0xff);
  });

  test('knows when an answer is whole: by length, by chunks with trailers, without a body, after a 100', async () => {
    const whole = [
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n',
      'HTTP/1.1 204 No Content\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n',
    ];
    for (const text of whole) {
      const port = await listen(net.createServer((socket) => void socket.write(text)));
      expect(await rawHttp({ port, bytes: 'x' })).toMatchObject({ text, ended: 'complete' });
    }
  });

  test('gives what came so far when time is up or nothing more comes', async () => {
    const text = 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf';
    const port = await listen(net.createServer((socket) => void socket.write(text)));
    const late = await rawHttp({ port, bytes: ['x', { waitFor: 'half' }], timeoutMs: 100 });
    expect(late).toMatchObject({ text, ended: 'timeout' });
    const idle = await rawHttp({ port, bytes: ['x', { waitFor: 'half' }], until: { idleMs: 20 } });
    expect(idle).toMatchObject({ text, ended: 'idle' });
  });
});
