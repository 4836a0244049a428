import type { Channel } from 'amqplib';
import {
  type ConsumerSpec,
  consumerDeclarations,
  type Declaration,
  declarations,
  type TopologySpec,
} from './topology.ts';

/** One thing that the broker has and that is another than what is declared. */
export type Mismatch = { what: string; argument: string; expected: string; found: string; todo: string };

/** Nothing was changed of what these name; the rest may have been declared. */
export class TopologyMismatch extends Error {
  readonly mismatches: readonly Mismatch[];

  constructor(mismatches: readonly Mismatch[]) {
    super(
      mismatches
        .map(
          ({ what, argument, expected, found, todo }) =>
            `${what}: ${argument}: expected ${expected}, found ${found}; ${todo}`,
        )
        .join('\n'),
    );
    this.name = 'TopologyMismatch';
    this.mismatches = mismatches;
  }
}

/** Where to open channels: a refused declaration ends its channel. */
export type ChannelOpener = { channel(): Promise<Channel> };

/**
 * Declares all of it; what is there already as declared stays as it is.
 * @throws TopologyMismatch naming everything that is there and is something else.
 */
export async function declareTopology(rabbit: ChannelOpener, spec: TopologySpec): Promise<void> {
  await declareAll(rabbit, declarations(spec));
}

/**
 * The same for whatever else a program has of its own: each of them, in this order.
 * @throws TopologyMismatch naming everything that is there and is something else.
 */
export async function declareAll(rabbit: ChannelOpener, declared: readonly Declaration[]): Promise<void> {
  const mismatches: Mismatch[] = [];
  let channel = await rabbit.channel();
  for (const declaration of declared) {
    try {
      await declare(channel, declaration);
    } catch (error) {
      const mismatch = mismatchOf(declaration, error);
      if (mismatch === undefined) throw error;
      mismatches.push(mismatch);
      channel = await rabbit.channel();
    }
  }
  await channel.close();
  if (mismatches.length > 0) throw new TopologyMismatch(mismatches);
}

/** Deletes all of it, messages included: for tests and for undoing a set-up. */
export async function deleteTopology(rabbit: ChannelOpener, spec: TopologySpec): Promise<void> {
  await deleteDeclared(rabbit, declarations(spec));
}

/** Deletes what belongs to one consumer, its messages and dead letters included; others lose nothing. */
export async function deleteConsumer(rabbit: ChannelOpener, exchange: string, consumer: ConsumerSpec): Promise<void> {
  await deleteDeclared(rabbit, consumerDeclarations(exchange, consumer));
}

/** Deletes the exchanges and queues among them, messages included, last first. */
export async function deleteDeclared(rabbit: ChannelOpener, declared: readonly Declaration[]): Promise<void> {
  const channel = await rabbit.channel();
  for (const { kind, ...rest } of [...declared].reverse()) {
    if (kind === 'queue' && 'name' in rest) await channel.deleteQueue(rest.name);
    if (kind === 'exchange' && 'name' in rest) await channel.deleteExchange(rest.name);
  }
  await channel.close();
}

async function declare(channel: Channel, declaration: Declaration): Promise<void> {
  if (declaration.kind === 'exchange') {
    await channel.assertExchange(declaration.name, declaration.type, { durable: true });
  } else if (declaration.kind === 'queue') {
    await channel.assertQueue(declaration.name, { durable: true, arguments: declaration.arguments });
  } else {
    const { destination, source, pattern, arguments: args } = declaration;
    if (declaration.to === 'queue') await channel.bindQueue(destination, source, pattern, args);
    else await channel.bindExchange(destination, source, pattern, args);
  }
}

/** Reads the broker's refusal; undefined for any other error. */
export function mismatchOf(declaration: Declaration, error: unknown): Mismatch | undefined {
  const message = error instanceof Error ? error.message : String(error);
  if (declaration.kind === 'binding' || !/PRECONDITION_FAILED/.test(message)) return undefined;
  const what = `${declaration.kind} ${declaration.name}`;
  const [, argument = 'its declaration', received, current] =
    /inequivalent arg '([^']+)' for .*?: received (.+?) but current is (.+?)"?$/s.exec(message) ?? [];
  return {
    what,
    argument,
    expected: plain(received ?? JSON.stringify('arguments' in declaration ? declaration.arguments : declaration.type)),
    found: plain(current ?? message),
    todo:
      declaration.kind === 'queue'
        ? `let its consumers empty it, delete it (rabbitmqctl delete_queue ${declaration.name}) and declare again, or configure what it has`
        : 'delete it while no relay publishes and declare again, or use another name',
  };
}

/** `the value '10' of type 'signedint'` and `'10'` → `10`. */
function plain(told: string): string {
  return /^(?:the value )?'(.*?)'/.exec(told)?.[1] ?? told;
}
