import { randomUUID } from 'node:crypto';
import { messageIdOf } from '@strangler/platform/contracts/row-message.ts';
import { createLog, type Log } from '@strangler/platform/log.ts';
import { publishConfirmed } from '@strangler/platform/outbox/channel.ts';
import { deleteDeclared, deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { markHeader, messageHeaders } from '@strangler/platform/outbox/message.ts';
import { partName, partOf } from '@strangler/platform/outbox/part.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import type { ConfirmChannel } from 'amqplib';
import { type Clock, systemClock } from '../clock.ts';
import { notificationsConfig } from '../config.ts';
import { migrateUp } from '../database.ts';
import { deliveryMark } from '../events/shop-event.ts';
import { eventTopology, ownTopology } from '../exchanges/topology.ts';
import { mailboxConfig } from '../mailbox/config.ts';
import { type RunningMailbox, startMailbox } from '../mailbox/start.ts';
import { type RunningNotifications, startNotifications } from '../service.ts';
import { startTestIssuer, type TestIssuer } from './issuer.ts';
import { removeKeys } from './remove-keys.ts';

export type SendOptions = { token?: string; headers?: Record<string, string>; body?: unknown };
// biome-ignore lint/suspicious/noExplicitAny: what is answered is looked at by tests alone
export type TestAnswer = { status: number; headers: Headers; text: string; body: any };
export type Send = (method: string, path: string, options?: SendOptions) => Promise<TestAnswer>;
export type Instance = RunningNotifications & { url: string; send: Send };

export type TestService = Instance & {
  database: FreshDatabase;
  issuer: TestIssuer;
  mail: RunningMailbox;
  rabbit: RabbitConnection;
  /** What the instances are told in their environment. */
  env: NodeJS.ProcessEnv;
  prefix: string;
  exchange: string;
  log: Log;
  /** Publishes an event as a relay does that has taken it from the shop's outbox; returns its id. */
  tell(event: TestEvent): Promise<string>;
  another(env?: NodeJS.ProcessEnv): Promise<Instance>;
  stop(): Promise<void>;
};

export type TestEvent = {
  type: string;
  data: Record<string, unknown>;
  id?: string;
  /** The outbox row's; counted up where it is left out. */
  outboxId?: number;
  epoch?: number;
  /** Such as `service/3`: whom the shop left the telling to. */
  mark?: string;
  aggregate?: string;
  key?: string;
  /** Another exchange than the one that the service listens to. */
  exchange?: string;
};

/** The service on a fresh database, with exchanges, queues and keys of its own, and a mailbox. `env` goes over what the tests need. */
export async function startTestService(
  label: string,
  env: NodeJS.ProcessEnv = {},
  { clock = systemClock }: { clock?: Clock } = {},
): Promise<TestService> {
  const { redisUrl, rabbitmqUrl } = testServers();
  const database = await freshDatabase(label);
  const log = createLog({ name: label, level: process.env.TEST_LOG_LEVEL ?? 'silent' });
  const issuer = await startTestIssuer();
  const mail = await startMailbox({ config: mailboxConfig({ PORT: '0', SMTP_PORT: '0' }), log });
  const rabbit = connect({ url: rabbitmqUrl, log });
  // At most 32 characters.
  const prefix = database.name;
  const exchange = `${database.name}.outbox`;
  const running: RunningNotifications[] = [];
  const all: NodeJS.ProcessEnv = {
    PORT: '0',
    DATABASE_URL: database.url,
    DATABASE_POOL_MAX: '10',
    REDIS_URL: redisUrl,
    REDIS_PREFIX: `${prefix}:`,
    RABBITMQ_URL: rabbitmqUrl,
    OUTBOX_EXCHANGE: exchange,
    QUEUE_PREFIX: prefix,
    JWKS_URL: `${issuer.url}/.well-known/jwks.json`,
    SMTP_URL: mail.smtpUrl,
    SMTP_TIMEOUT: '5s',
    JOB_BACKOFF: '20ms',
    DRAIN_GRACE: '5s',
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
    ...env,
  };
  let channel: ConfirmChannel | undefined;
  let lastOutboxId = 0;

  const start = async (more: NodeJS.ProcessEnv): Promise<Instance> => {
    const config = notificationsConfig({ ...all, ...more });
    const service = await startNotifications({ config, log, clock });
    running.push(service);
    await eventually(() => service.listening());
    return { ...service, url: service.server.url, send: sender(service.server.url) };
  };
  const stop = async () => {
    for (const service of running) await service.lifecycle.stop('test');
    await mail.lifecycle.stop('test');
    await issuer.stop();
    await deleteDeclared(rabbit, ownTopology(prefix));
    await deleteTopology(rabbit, eventTopology(exchange, prefix));
    await rabbit.close();
    await removeKeys(redisUrl, `${prefix}:`);
    await database.drop();
  };

  try {
    await migrateUp(database.url, log);
    return {
      ...(await start({})),
      ...{ database, issuer, mail, rabbit, prefix, exchange, log, stop },
      env: all,
      another: (more = {}) => start(more),
      async tell({ type, data, id = randomUUID(), outboxId, epoch = 1, mark, ...about }) {
        channel ??= await rabbit.confirmChannel();
        lastOutboxId = outboxId ?? lastOutboxId + 1;
        const aggregate = about.aggregate ?? (type.startsWith('account.') ? 'account' : 'order');
        const key = about.key ?? String(data[`${aggregate}_id`] ?? 'none');
        await publishConfirmed(channel, {
          exchange: about.exchange ?? exchange,
          routingKey: `shop.${type}`,
          body: Buffer.from(
            JSON.stringify({
              ...{ id, type, schema_version: 1, aggregate, key, data },
              version: { epoch, id: String(lastOutboxId) },
              at: new Date().toISOString(),
            }),
          ),
          properties: {
            messageId: messageIdOf(database.name, String(lastOutboxId)),
            headers: {
              [messageHeaders.part]: partName(partOf(aggregate, key)),
              [messageHeaders.subject]: aggregate,
              [messageHeaders.key]: key,
              ...(mark === undefined ? {} : { [markHeader(deliveryMark)]: mark }),
            },
          },
        });
        return id;
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function sender(url: string): Send {
  return async (method, path, { token, headers = {}, body } = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = text !== '' && /json/.test(answer.headers.get('content-type') ?? '');
    return { status: answer.status, headers: answer.headers, text, body: json ? JSON.parse(text) : undefined };
  };
}
