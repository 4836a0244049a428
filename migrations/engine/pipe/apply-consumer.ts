import { rowOps, rowTopic } from '@strangler/platform/contracts/row-message.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { type ConsumerSpec, queuesOf, type TopologySpec } from '@strangler/platform/outbox/topology.ts';
import { canaryTable } from './canary.ts';

/** Of the exchange that relays publish to, unless told. */
export const defaultExchange = 'outbox';

/** Names the applier of a slice: its queues, its dead letters and its positions. */
export const applyConsumerName = (slice: string): string => `${slice}.apply`;

/**
 * A change may be given out this often. It counts each time that an applier ended, or lost the broker, with it in hand,
 * which says nothing about the change: a target that is away for a day, or appliers that are killed over and over, must
 * not make dead letters.
 */
const deliveryLimit = 1_000_000;

/** The applier of a slice as a consumer: it takes the changes of the slice's tables and the canary's, in order a row. */
export const applyConsumer = ({ slice, tables }: Pick<Slice, 'slice' | 'tables'>): ConsumerSpec => ({
  name: applyConsumerName(slice),
  patterns: [...new Set([...tables.map(({ source }) => source), canaryTable])].flatMap((source) =>
    rowOps.map((op) => rowTopic(slice, source, op)),
  ),
  order: 'by key',
  deliveryLimit,
});

/** What a slice's pipe needs of the broker. */
export const pipeTopology = (slice: Pick<Slice, 'slice' | 'tables'>, exchange = defaultExchange): TopologySpec => ({
  exchange,
  consumers: [applyConsumer(slice)],
  stream: {},
});

/** Each part comes by a queue of its own, whose name is also that of the position which the applier records for it. */
export const applyQueues = (slice: string): string[] => queuesOf({ name: applyConsumerName(slice), order: 'by key' });
