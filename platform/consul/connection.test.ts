import net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { type ConsulClient, createConsul } from './client.ts';
import { ConsulRefused, ConsulUnreachable, OutcomeUnknown } from './errors.ts';

/** Answers every request with these bytes; `hang up` then ends the connection, which a faulty or dying agent does. */
type Script = { answer: string; afterwards: 'hang up' | 'keep open' };

let script: Script;
let server: net.Server;
let consul: ConsulClient;

beforeEach(async () => {
  server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => {
      socket.write(script.answer);
      if (script.afterwards === 'hang up') socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  consul = createConsul({ url: `http://127.0.0.1:${port}`, log: pino({ level: 'silent' }), timeoutMs: 400 });
});

afterEach(async () => {
  consul.close();
  await new Promise((resolve) => server.close(resolve));
});

const truncated = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\ntru';
const failed = 'HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nno leader';
const forbidden = 'HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\nPermission denied';

describe('a write', () => {
  test('whose answer never comes has an unknown outcome', async () => {
    script = { answer: '', afterwards: 'keep open' };
    await expect(consul.kv.put('a', '1')).rejects.toBeInstanceOf(OutcomeUnknown);
  });

  test('whose answer is cut short has an unknown outcome, and is told so before its time-out', async () => {
    script = { answer: truncated, afterwards: 'hang up' };
    await expect(consul.kv.put('a', '1', { timeoutMs: 3_600_000 })).rejects.toBeInstanceOf(OutcomeUnknown);
  });

  test('that Consul failed at has an unknown outcome: its log entry may have been committed', async () => {
    script = { answer: failed, afterwards: 'keep open' };
    await expect(consul.kv.put('a', '1')).rejects.toThrow(
      /kv.put a .*expected 2xx, got 500 \(no leader\).*read back before repeating it/,
    );
  });

  test('that was never sent is known not to have happened', async () => {
    await new Promise((resolve) => server.close(resolve));
    await expect(consul.kv.put('a', '1')).rejects.toBeInstanceOf(ConsulUnreachable);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });

  test('that Consul forbids is refused with its reason', async () => {
    script = { answer: forbidden, afterwards: 'keep open' };
    const refusal = consul.kv.put('a', '1');
    await expect(refusal).rejects.toBeInstanceOf(ConsulRefused);
    await expect(refusal).rejects.toThrow(/got 403 \(Permission denied\)/);
  });
});

describe('a read', () => {
  test('whose answer is cut short is unreachable, not unknown: nothing can have changed', async () => {
    script = { answer: truncated, afterwards: 'hang up' };
    await expect(consul.kv.get('a', { timeoutMs: 3_600_000 })).rejects.toBeInstanceOf(ConsulUnreachable);
  });

  test('that is aborted throws the reason of the abort', async () => {
    script = { answer: '', afterwards: 'keep open' };
    const stopping = new AbortController();
    const reading = consul.kv.get('a', { signal: stopping.signal, timeoutMs: 3_600_000 });
    stopping.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
  });
});

test('keys that would mean another key, or the whole store, are refused', async () => {
  await expect(consul.kv.get('')).rejects.toThrow(/without a leading slash/);
  await expect(consul.kv.put('/a', '1')).rejects.toThrow(/without a leading slash/);
});

test('an address with a path is refused, and its credentials are not repeated', () => {
  const make = () => createConsul({ url: 'http://user:secret@127.0.0.1:8500/v1', log: pino({ level: 'silent' }) });
  expect(make).toThrow(/without a path/);
  expect(make).not.toThrow(/secret/);
});
