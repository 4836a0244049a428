import { pause } from '@strangler/platform/backoff.ts';
import type { Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { declareAll, declareTopology } from '@strangler/platform/outbox/declare.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Pool } from 'mysql2/promise';
import { Gauge, type Registry } from 'prom-client';
import type { Clock } from './clock.ts';
import type { NotificationsConfig } from './config.ts';
import { consumeEvents, createHandleEvent } from './events/event-consumer.ts';
import { type Command, type Commands, consumeCommands, createCommands } from './exchanges/commands.ts';
import { consumeDeliveries, createDispatch, type Dispatch } from './exchanges/dispatch.ts';
import { createPublisher, type Publisher } from './exchanges/publisher.ts';
import { eventTopology, ownTopology } from './exchanges/topology.ts';
import type { Invoices } from './invoices/invoices.ts';
import { addDigests, createDigestEffect } from './jobs/digest-job.ts';
import { createEmailEffect } from './jobs/email-job.ts';
import { createInvoiceEffect } from './jobs/invoice-job.ts';
import { createJobQueues, type JobQueues } from './jobs/job-queues.ts';
import type { JobStore } from './jobs/job-store.ts';
import { createRunJob } from './jobs/run-job.ts';
import { startSweeper } from './jobs/sweeper.ts';
import { startWorkers } from './jobs/workers.ts';
import { createSmtpSender, type Sender } from './mail/smtp-sender.ts';
import type { Recipients } from './recipients/recipients.ts';
import type { Settings } from './settings/settings.ts';
import { broadcastSettings, type SettingsBroadcast } from './settings/settings-broadcast.ts';

export type PipelineParts = {
  config: NotificationsConfig;
  pool: Pool;
  rabbit: RabbitConnection;
  recipients: Recipients;
  invoices: Invoices;
  jobs: JobStore;
  settings: Settings;
  wake(accountId: number): void;
  clock: Clock;
  log: Log;
  metrics: Registry;
  lifecycle: Lifecycle;
};

export type Pipeline = {
  dispatch: Dispatch['dispatch'];
  commands: Commands;
  broadcast: SettingsBroadcast;
  listening(): boolean;
};

type Listener = { consuming(): boolean; stop(graceMs: number): Promise<void> };

/** From an event to its mail: takes events, sends jobs on their way, does them. Begins whenever RabbitMQ is there. */
export function startPipeline(parts: PipelineParts): Pipeline {
  const { config, pool, rabbit, recipients, jobs, settings, clock, log, metrics, lifecycle } = parts;
  const { queuePrefix: prefix } = config;
  const publisher = createPublisher({ rabbit, log });
  const { dispatch } = createDispatch({ publisher, prefix, jobs, recipients });
  const commands = createCommands({ publisher, prefix });
  const work = config.redisUrl === undefined ? undefined : startWork(parts, config.redisUrl, dispatch);
  if (work === undefined) log.warn('REDIS_URL is not set: no jobs are done here');
  const handle = createHandleEvent({
    ...{ pool, clock, mailDelayMs: config.mailDelayMs, dispatch },
    wake: parts.wake,
    registry: metrics,
  });

  let listeners: Listener[] = [];
  let broadcast: SettingsBroadcast | undefined;
  const stopping = new AbortController();
  const forget = rabbit.onConnected(async (source) => {
    await declareTopology(source, eventTopology(config.outboxExchange, prefix));
    await declareAll(source, ownTopology(prefix));
    if (broadcast !== undefined || stopping.signal.aborted) return;
    broadcast = broadcastSettings({ rabbit, publisher, prefix, settings, log });
    listeners = [
      consumeEvents({
        ...{ rabbit, outboxExchange: config.outboxExchange, consumer: prefix, handle, log, metrics },
        prefetch: config.eventPrefetch,
      }),
      ...(work === undefined ? [] : work.listeners({ rabbit, prefix, publisher, dispatch })),
    ];
  });
  const listening = () => (broadcast?.hearing() ?? false) && listeners.every((listener) => listener.consuming());
  new Gauge({
    name: 'notifications_listening',
    help: '1 while events, commands and deliveries are taken.',
    registers: [metrics],
    collect() {
      this.set(listening() ? 1 : 0);
    },
  });

  lifecycle.onStop('finish', 'pipeline', async ({ graceMs }) => {
    stopping.abort();
    forget();
    await Promise.all(listeners.map((listener) => listener.stop(graceMs)));
    await work?.stop();
    await broadcast?.stop();
    await publisher.close();
  });
  return {
    dispatch,
    commands,
    broadcast: {
      hearing: () => broadcast?.hearing() ?? false,
      tell: async () => broadcast?.tell(),
      stop: async () => broadcast?.stop(),
    },
    listening,
  };
}

type Work = {
  listeners(to: {
    rabbit: RabbitConnection;
    prefix: string;
    publisher: Publisher;
    dispatch: Dispatch['dispatch'];
  }): Listener[];
  stop(): Promise<void>;
};

/** Queues, workers and the search for lost jobs: what needs Redis. */
function startWork(parts: PipelineParts, redisUrl: string, dispatch: Dispatch['dispatch']): Work {
  const { config, pool, recipients, invoices, jobs, settings, clock, log, metrics } = parts;
  const prefix = `${config.redisPrefix}jobs`;
  const queues = createJobQueues({ redisUrl, prefix, retries: config.retries, log });
  // Without a mail server their jobs wait, in RabbitMQ, for an instance that has one.
  const kinds = config.workers.filter((kind) => kind === 'invoice' || config.smtp !== undefined);
  const sender: Sender =
    config.smtp === undefined
      ? { send: () => Promise.reject(new Error('SMTP_URL is not set')) }
      : createSmtpSender(config.smtp);
  const mail = { pool, recipients, settings, sender, fromAddress: config.fromAddress };
  const isOver = async (id: string) => dispatch((await jobs.waitingFor(id)).map((job) => job.id));
  const runJob = createRunJob({
    ...{ jobs, leaseMs: config.jobLeaseMs, clock, log, registry: metrics },
    effects: {
      email: createEmailEffect({ ...mail, invoices }),
      invoice: createInvoiceEffect({ invoices, recipients, settings }),
      digest: createDigestEffect(mail),
    },
    // What cannot be published now is put in line by the sweeper.
    isOver: (id) => isOver(id).catch((error: unknown) => log.warn({ err: error }, 'jobs were not dispatched yet')),
  });
  const makeDigests = async (day: string) => dispatch(await addDigests(pool, day, clock.now()));
  const workers = startWorkers({
    ...{ redisUrl, prefix, kinds, runJob, settings, onSchedule: makeDigests, log },
    concurrency: config.workerConcurrency,
    lockMs: config.jobLockMs,
  });
  const sweeper = startSweeper({ pool, jobs, queues, recipients, times: config.sweep, clock, log, registry: metrics });
  const stopping = new AbortController();
  if (kinds.includes('digest')) void keepSchedule(queues, config.digestAt, log, stopping.signal);

  const obey = async (command: Command): Promise<void> => {
    if (command.do === 'digests') await makeDigests(command.day);
    else if (await jobs.reopen(command.job, clock.now())) await dispatch([command.job]);
  };
  return {
    listeners: (to) => [
      consumeDeliveries({ ...to, kinds, jobs, queues, settings, log, metrics }),
      consumeCommands({ ...to, kinds, obey: (_kind, command) => obey(command), log, metrics }),
    ],
    async stop() {
      stopping.abort();
      await sweeper.stop();
      await workers.stop();
      await queues.close();
    },
  };
}

const scheduleRetryMs = 5_000;

/** Redis may come later. */
async function keepSchedule(queues: JobQueues, pattern: string, log: Log, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    try {
      await queues.schedule(pattern);
      return;
    } catch (error) {
      if (!stopping.aborted) log.warn({ err: error, pattern }, 'the digests are not scheduled yet; trying on');
    }
    await pause(scheduleRetryMs, stopping);
  }
}
