import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type Consumer, consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import type { Job, JobKind } from '../jobs/job.ts';
import type { JobQueues } from '../jobs/job-queues.ts';
import type { JobStore } from '../jobs/job-store.ts';
import { type Locale, locales, type Recipients } from '../recipients/recipients.ts';
import type { Settings } from '../settings/settings.ts';
import type { Publisher } from './publisher.ts';
import { own } from './topology.ts';

export type Dispatch = {
  /** Sends jobs on their way to whoever does them, as far as they are pending and wait for no other. */
  dispatch(jobIds: readonly string[]): Promise<void>;
};

/** Jobs go by channel and locale: a mail to the queue of its language's sender, for instance. */
export function createDispatch({
  publisher,
  prefix,
  jobs,
  recipients,
}: {
  publisher: Publisher;
  prefix: string;
  jobs: JobStore;
  recipients: Pick<Recipients, 'preferences'>;
}): Dispatch {
  const mayBegin = async (job: Job): Promise<boolean> => {
    if (job.state !== 'pending') return false;
    if (job.after === null) return true;
    const first = await jobs.find(job.after);
    return first === undefined || first.state === 'done' || first.state === 'failed';
  };
  return {
    async dispatch(jobIds) {
      for (const id of jobIds) {
        const job = await jobs.find(id);
        if (job === undefined || !(await mayBegin(job))) continue;
        const { locale } = await recipients.preferences(job.accountId);
        await publisher.publish({
          exchange: own.deliveries(prefix),
          routingKey: '',
          body: { job: id },
          messageId: `job-${id}`,
          headers: { channel: job.kind, locale },
        });
      }
    },
  };
}

const bodySchema = z.object({ job: z.string().min(1) });

const redisRetryMs = 200;

/**
 * Takes the deliveries of these kinds, in every language, and puts them into Redis. While Redis is away nothing is
 * acknowledged and nothing further taken: what waits, waits in RabbitMQ. Deliveries of a paused channel rest and come again.
 */
export function consumeDeliveries({
  rabbit,
  prefix,
  kinds,
  publisher,
  jobs,
  queues,
  settings,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  prefix: string;
  kinds: readonly JobKind[];
  publisher: Publisher;
  jobs: Pick<JobStore, 'find'>;
  queues: Pick<JobQueues, 'enqueue' | 'ready'>;
  settings: Pick<Settings, 'now'>;
  log: Log;
  metrics: Registry;
}): { consuming(): boolean; stop(graceMs: number): Promise<void> } {
  const stopping = new AbortController();

  const handle =
    (channel: JobKind, locale: Locale) =>
    async ({ body, messageId }: Delivery): Promise<Outcome> => {
      const read = bodySchema.safeParse(parseJson(body));
      if (!read.success) return { outcome: 'poison', reason: 'expected a delivery such as {"job":"email-1"}' };
      const { job: id } = read.data;
      if (channel === 'email' && settings.now().email === 'paused') {
        await publisher.publish({
          exchange: '',
          routingKey: own.restQueue(prefix),
          body: read.data,
          messageId,
          headers: { channel, locale },
        });
        return 'done';
      }
      const job = await jobs.find(id);
      if (job === undefined) return { outcome: 'poison', reason: `there is no job ${id}` };
      while (!queues.ready()) {
        if ((await pause(redisRetryMs, stopping.signal)) === 'aborted') return 'retry';
      }
      await queues.enqueue(job, locale);
      return 'done';
    };

  const consumers: Consumer[] = kinds.flatMap((channel) =>
    locales.map((locale) =>
      consume({
        rabbit,
        exchange: prefix,
        consumer: { name: own.deliveryQueue(prefix, channel, locale), order: 'none' },
        handle: oneByOne(handle(channel, locale)),
        prefetch: 20,
        concurrency: 4,
        log,
        metrics,
      }),
    ),
  );
  return {
    consuming: () => consumers.every((consumer) => consumer.consuming()),
    async stop(graceMs) {
      stopping.abort();
      await Promise.all(consumers.map((consumer) => consumer.stop(graceMs)));
    },
  };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
