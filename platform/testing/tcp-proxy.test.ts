import net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from './eventually.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

let server: net.Server;
let proxy: TcpProxy;
let received: string;
const clients: net.Socket[] = [];

beforeEach(async () => {
  received = '';
  server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      received += data;
      socket.write(`echo ${data}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy = await startTcpProxy(`redis://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.close();
  await new Promise((resolve) => server.close(resolve));
});

async function connect() {
  const socket = net.connect(proxy.port, proxy.host);
  clients.push(socket);
  const heard = { text: '', end: undefined as string | undefined };
  socket.on('data', (data) => {
    heard.text += data;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    heard.end = error.code;
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, heard };
}

test('the address is the target’s with the proxy’s port', () => {
  expect(proxy.url).toBe(`redis://127.0.0.1:${proxy.port}`);
});

test('passes bytes both ways', async () => {
  const { socket, heard } = await connect();
  socket.write('a');
  await eventually(() => heard.text === 'echo a');
});

test('stalled, lets nothing through, and everything when it passes again', async () => {
  const { socket, heard } = await connect();
  socket.write('a');
  await eventually(() => heard.text === 'echo a');
  await proxy.stall();
  socket.write('b');
  const other = await connect();
  other.socket.write('c');
  await eventually(() => proxy.connections() === 2);
  expect(received).toBe('a');
  await proxy.pass();
  await eventually(() => heard.text === 'echo aecho b' && other.heard.text === 'echo c');
});

test('holding answers, lets the server hear and not the client', async () => {
  const { socket, heard } = await connect();
  socket.write('a');
  await eventually(() => heard.text === 'echo a');
  proxy.holdAnswers();
  socket.write('b');
  await eventually(() => received === 'ab');
  expect(heard.text).toBe('echo a');
  await proxy.pass();
  await eventually(() => heard.text === 'echo aecho b');
});

describe('cutting', () => {
  test('resets what is open and takes new connections', async () => {
    const { heard } = await connect();
    await eventually(() => proxy.connections() === 1);
    proxy.cut();
    await eventually(() => heard.end === 'ECONNRESET');
    const { socket, heard: again } = await connect();
    socket.write('a');
    await eventually(() => again.text === 'echo a');
  });

  test('and refusing takes none until it passes again, on the same port', async () => {
    const { heard } = await connect();
    await eventually(() => proxy.connections() === 1);
    await proxy.refuse();
    await eventually(() => heard.end === 'ECONNRESET');
    const refused = net.connect(proxy.port, proxy.host);
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => refused.once('error', resolve));
    expect(error.code).toBe('ECONNREFUSED');
    await proxy.pass();
    const { socket, heard: again } = await connect();
    socket.write('a');
    await eventually(() => again.text === 'echo a');
  });
});
