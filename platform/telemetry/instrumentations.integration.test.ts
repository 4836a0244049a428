import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { startCollector } from '../testing/collector.ts';
import { freshDatabase, testServers } from '../testing/servers.ts';

const at = (file: string) => new URL(file, import.meta.url).href;

/** Uses each client once, imported as our programs import them. */
const program = `
  import amqplib from 'amqplib';
  import * as grpc from '@grpc/grpc-js';
  import mysql from 'mysql2/promise';
  import { createClient } from 'redis';
  import { createLifecycle } from ${JSON.stringify(at('../lifecycle.ts'))};
  import { createLog } from ${JSON.stringify(at('../log.ts'))};
  const { DATABASE_URL, RABBITMQ_URL, REDIS_URL, KEY } = process.env;
  const database = await mysql.createConnection(DATABASE_URL);
  await database.query('SELECT 1 AS queried');
  await database.execute('SELECT 2 AS executed');
  await database.end();
  const redis = await createClient({ url: REDIS_URL }).connect();
  await redis.set(KEY, '1', { expiration: { type: 'EX', value: 60 } });
  await redis.del(KEY);
  redis.destroy();
  const rabbit = await amqplib.connect(RABBITMQ_URL);
  const channel = await rabbit.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const consumed = new Promise((resolve) => channel.consume(queue, (message) => { channel.ack(message); resolve(message.properties.headers) }));
  channel.sendToQueue(queue, Buffer.from('hello'));
  await channel.waitForConfirms();
  const headers = await consumed;
  await rabbit.close();
  const definition = (bytes) => ({ path: '/test.Echo/Say', requestStream: false, responseStream: false,
    requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes });
  const service = { say: definition((value) => value) };
  const server = new grpc.Server();
  server.addService(service, { say: (call, done) => done(null, call.request) });
  const port = await new Promise((resolve, reject) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => error ? reject(error) : resolve(bound)));
  const Echo = grpc.makeGenericClientConstructor(service, 'Echo');
  const client = new Echo('127.0.0.1:' + port, grpc.credentials.createInsecure());
  await new Promise((resolve, reject) => client.say(Buffer.from('hello'), (error) => error ? reject(error) : resolve()));
  client.close();
  server.forceShutdown();
  await createLifecycle({ log: createLog({ name: 'program', level: 'silent' }), graceMs: 5_000 }).stop('done');
  console.log(JSON.stringify({ traceparent: headers.traceparent }));
  process.exit(0);`;

test('calls to MySQL, Redis, RabbitMQ and gRPC are traced, and messages carry the trace to their consumer', async () => {
  const { rabbitmqUrl, redisUrl } = testServers();
  const database = await freshDatabase('telemetry');
  const collector = await startCollector();
  try {
    const child = spawn('node', ['--import', at('./register.ts'), '--input-type=module', '-e', program], {
      cwd: import.meta.dirname,
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        DATABASE_URL: database.url,
        RABBITMQ_URL: rabbitmqUrl,
        REDIS_URL: redisUrl,
        KEY: `t_telemetry_${randomUUID()}`,
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_SERVICE_NAME: 'catalog',
        OTEL_BSP_EXPORT_TIMEOUT: '20000',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(0);

    const spans = collector.spans();
    const kinds = (instrumentation: string) =>
      spans
        .filter(({ scope }) => scope === `@opentelemetry/instrumentation-${instrumentation}`)
        .map(({ kind }) => kind);
    const [client, server, producer, consumer] = [3, 2, 4, 5];
    expect(kinds('mysql2')).toEqual([client, client]);
    expect(kinds('redis')).toEqual(expect.arrayContaining([client, client]));
    expect(kinds('amqplib')).toEqual(expect.arrayContaining([producer, consumer]));
    expect(kinds('grpc')).toEqual(expect.arrayContaining([client, server]));

    const sent = spans.find(({ kind }) => kind === producer);
    expect(JSON.parse(output).traceparent).toBe(`00-${sent?.traceId}-${sent?.spanId}-01`);
    expect(spans.find(({ kind }) => kind === consumer)).toMatchObject({
      traceId: sent?.traceId,
      parentSpanId: sent?.spanId,
    });
  } finally {
    await collector.close();
    await database.drop();
  }
});
