import { type Backoff, nextBackoffMs, pause } from '../../backoff.ts';
import type { Log } from '../../log.ts';
import { type ChannelSource, RabbitAway, type RabbitConnection } from '../../rabbit.ts';
import { declareTopology } from '../declare.ts';
import type { TopologySpec } from '../topology.ts';

export type DeclaredConnection = RabbitConnection & {
  /** Why it is not declared, as long as it never was. */
  undeclared(): string | undefined;
};

const backoff: Backoff = { baseMs: 100, capMs: 5_000 };

/**
 * The same connection, on which everything that is set up finds the topology declared: what is published before there is a
 * queue for it would be nobody's.
 */
export function declaredConnection(rabbit: RabbitConnection, spec: TopologySpec, log: Log): DeclaredConnection {
  let why: string | undefined = 'the exchange has not been declared yet';

  async function declared(source: ChannelSource): Promise<void> {
    for (let delayMs: number | undefined; ; ) {
      try {
        await declareTopology(source, spec);
        why = undefined;
        return;
      } catch (error) {
        // With its connection ends what this was for.
        if (error instanceof RabbitAway) throw error;
        why = error instanceof Error ? error.message : String(error);
        log.error(
          { err: error },
          'the exchange and its stream could not be declared; nothing is published until they are',
        );
        delayMs = nextBackoffMs(delayMs, backoff);
        await pause(delayMs);
      }
    }
  }

  // Also while nobody has set anything up.
  rabbit.onConnected(declared);

  return {
    ...rabbit,
    onConnected: (setUp) =>
      rabbit.onConnected(async (source) => {
        await declared(source);
        await setUp(source);
      }),
    undeclared: () => why,
  };
}
