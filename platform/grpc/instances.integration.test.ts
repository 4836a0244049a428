import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createConsul } from '../consul/client.ts';
import { register } from '../consul/register.ts';
import { startHttpServer } from '../http/server.ts';
import { eventually, testServers } from '../testing/servers.ts';
import { discoveredGrpcInstances } from './instances.ts';

const log = pino({ level: 'silent' });

test('instances are found by the gRPC port that they tell, and those that tell none are left out', async () => {
  const consul = createConsul({ url: testServers().consulUrl, log });
  const health = await startHttpServer({
    handler: (_request, response) => response.end('ok'),
    host: '127.0.0.1',
    port: 0,
    log,
  });
  const service = `grpc-${process.pid}-${Date.now()}`;
  const at = { name: service, address: health.host, port: health.port };
  const telling = await register(consul, { ...at, id: `${service}-1`, meta: { grpc_port: '4001' } });
  const silent = await register(consul, { ...at, id: `${service}-2` });
  const instances = discoveredGrpcInstances({ consul, service, log });
  await instances.first;
  await eventually(() => expect(instances.now()).toEqual([`${health.host}:4001`]));
  await telling.deregister();
  await eventually(() => expect(instances.now()).toEqual([]));
  await silent.deregister();
  await instances.stop();
  await consul.close();
  await health.drain(0);
});
