import type { Log } from '@strangler/platform/log.ts';
import { type Consumer, consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import type { JobKind } from '../jobs/job.ts';
import type { Publisher } from './publisher.ts';
import { commandPriorities, own } from './topology.ts';

const command = z.discriminatedUnion('do', [
  /** Tries a failed job again. */
  z.object({ do: z.literal('retry'), job: z.string().min(1).max(64) }),
  /** Makes the digests of a day, of whoever wants one and has none yet. */
  z.object({ do: z.literal('digests'), day: z.iso.date() }),
]);
export type Command = z.infer<typeof command>;

export type Commands = {
  /** Gives a command to one worker of a kind. */
  give(kind: JobKind, command: Command, by: keyof typeof commandPriorities): Promise<void>;
};

export function createCommands({ publisher, prefix }: { publisher: Publisher; prefix: string }): Commands {
  return {
    give: (kind, body, by) =>
      publisher.publish({
        exchange: own.commands(prefix),
        routingKey: kind,
        body,
        messageId: body.do === 'retry' ? `retry-${body.job}` : `digests-${body.day}`,
        priority: commandPriorities[by],
      }),
  };
}

/** Takes commands to workers of these kinds. A prefetch of one: what is wanted at once overtakes what only waits. */
export function consumeCommands({
  rabbit,
  prefix,
  kinds,
  obey,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  prefix: string;
  kinds: readonly JobKind[];
  obey(kind: JobKind, command: Command): Promise<void>;
  log: Log;
  metrics: Registry;
}): { consuming(): boolean; stop(graceMs: number): Promise<void> } {
  const handle =
    (kind: JobKind) =>
    async ({ body }: Delivery): Promise<Outcome> => {
      const read = command.safeParse(parseJson(body));
      if (!read.success)
        return { outcome: 'poison', reason: 'expected a command such as {"do":"retry","job":"email-1"}' };
      await obey(kind, read.data);
      return 'done';
    };
  const consumers: Consumer[] = kinds.map((kind) =>
    consume({
      rabbit,
      exchange: prefix,
      consumer: { name: own.commandQueue(prefix, kind), order: 'none' },
      handle: oneByOne(handle(kind)),
      prefetch: 1,
      log,
      metrics,
    }),
  );
  return {
    consuming: () => consumers.every((consumer) => consumer.consuming()),
    stop: async (graceMs) => void (await Promise.all(consumers.map((consumer) => consumer.stop(graceMs)))),
  };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
