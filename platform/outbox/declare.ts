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
 * The same for whatever else a program has of its own: each of them, in this order. What its account may not declare is another's: it
 * has to be there, and is taken as it is, with what is bound to it. Nor may everybody bind to a direct exchange of another's: whoever
 * could would be sent what is meant for others. Such a binding is its owner's to make.
 * @throws TopologyMismatch naming everything that is there and is something else.
 */
export async function declareAll(rabbit: ChannelOpener, declared: readonly Declaration[]): Promise<void> {
  const mismatches: Mismatch[] = [];
  const anothers = new Map<string, Declaration>();
  let channel = await rabbit.channel();
  for (const declaration of declared) {
    if (declaration.kind === 'binding' && anothers.has(declaration.destination)) continue;
    try {
      await declare(channel, declaration);
    } catch (error) {
      if (isRefused(error) && (declaration.kind !== 'binding' || isDirect(anothers.get(declaration.source)))) {
        channel = await rabbit.channel();
        if (declaration.kind === 'binding') continue;
        await look(channel, declaration);
        anothers.set(declaration.name, declaration);
        continue;
      }
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

const isRefused = (error: unknown): boolean => /ACCESS_REFUSED/.test(error instanceof Error ? error.message : '');

const isDirect = (one: Declaration | undefined): boolean => one?.kind === 'exchange' && one.type === 'direct';

/** Fails, and with it the channel, where it is not there. */
async function look(channel: Channel, { kind, name }: Exclude<Declaration, { kind: 'binding' }>): Promise<void> {
  try {
    await (kind === 'exchange' ? channel.checkExchange(name) : channel.checkQueue(name));
  } catch (error) {
    throw new Error(`${kind} ${name}: this account may not declare it, and it is not there; declare it as another`, {
      cause: error,
    });
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
