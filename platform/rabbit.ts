import amqplib, { type Channel, type ConfirmChannel, type RecoveringChannelModel } from 'amqplib';
import { Gauge, type Registry } from 'prom-client';
import { type Backoff, nextBackoffMs, pause } from './backoff.ts';
import type { Log } from './log.ts';

/** A connection to RabbitMQ that comes back by itself; its channels do not, and are made anew. */
export type RabbitConnection = {
  /** Connected, and not blocked by the broker (which it does to publishers when it is short of memory or disk). */
  ready(): boolean;
  /** A channel of the present connection, or of the next one if that is there in time; throws `RabbitAway` if not. */
  channel(): Promise<Channel>;
  /** The same, with publisher confirms. */
  confirmChannel(): Promise<ConfirmChannel>;
  /**
   * Calls back when connected, now and after each reconnection: where consumers and publishers make their channels,
   * from the source it is given, which ends with that connection so that nothing is set up twice. What it throws is
   * logged, and it is called again after a pause. Returns how to stop that.
   */
  onConnected(setUp: SetUp): () => void;
  close(): Promise<void>;
};

export type ChannelSource = Pick<RabbitConnection, 'channel' | 'confirmChannel'>;
export type SetUp = (source: ChannelSource) => void | Promise<void>;

export type RabbitOptions = {
  url: string;
  log: Log;
  /** How long `channel` waits for a connection, 5000 ms unless told. */
  channelTimeoutMs?: number;
  /** How often both sides say that they live, 10 s unless told; twice unanswered, the connection is dropped. */
  heartbeatS?: number;
  /** Registers `rabbitmq_ready`. */
  metrics?: Registry;
};

/** RabbitMQ could not be reached in time; nothing was sent. */
export class RabbitAway extends Error {
  constructor(found: string) {
    super(`RabbitMQ: expected a connection, found ${found}; it is being tried in the background`);
    this.name = 'RabbitAway';
  }
}

const backoff: Backoff = { baseMs: 100, capMs: 5000 };
const connectTimeoutMs = 5000;
const closeTimeoutMs = 2000;

/** Starts connecting and returns; RabbitMQ may be away. Each change between ready and away is logged once. */
export function connect({
  url,
  log,
  channelTimeoutMs = 5000,
  heartbeatS = 10,
  metrics,
}: RabbitOptions): RabbitConnection {
  const address = withHeartbeat(url, heartbeatS);
  let state: 'starting' | 'ready' | 'blocked' | 'away' | 'closed' = 'starting';
  let delayMs: number | undefined;
  // Grows with every connection that is made.
  let generation = 0;
  const setUps = new Set<SetUp>();
  let model: RecoveringChannelModel | undefined;

  if (metrics !== undefined) {
    new Gauge({
      name: 'rabbitmq_ready',
      help: '1 while RabbitMQ is connected and takes messages.',
      registers: [metrics],
      collect() {
        this.set(state === 'ready' ? 1 : 0);
      },
    });
  }
  const opening = amqplib
    .connect(address, {
      timeout: connectTimeoutMs,
      keepAlive: true,
      noDelay: true,
      recovery: {
        waitForConnect: false,
        calculateDelay: () => {
          delayMs = nextBackoffMs(delayMs, backoff);
          return delayMs;
        },
      },
    })
    .then((recovering) => {
      model = recovering;
      recovering.on('connect', () => {
        delayMs = undefined;
        generation += 1;
        state = 'ready';
        log.info('RabbitMQ is ready');
        for (const setUp of setUps) void runSetUp(setUp);
      });
      recovering.on('disconnect', away);
      recovering.on('connect-failed', away);
      recovering.on('error', (error) => log.debug({ err: error }, 'RabbitMQ connection error'));
      recovering.on('blocked', (reason) => {
        state = 'blocked';
        log.warn({ reason }, 'RabbitMQ blocks publishers');
      });
      recovering.on('unblocked', () => {
        state = 'ready';
        log.info('RabbitMQ takes messages again');
      });
      return recovering;
    });

  function away(error: Error): void {
    if (state === 'away' || state === 'closed') return;
    state = 'away';
    log.warn({ err: error }, 'RabbitMQ is away; trying on');
  }

  const connected = () => state === 'ready' || state === 'blocked';

  async function runSetUp(setUp: SetUp): Promise<void> {
    const mine = generation;
    const current = () => mine === generation && connected() && setUps.has(setUp);
    const from = async <T extends Channel>(opening: () => Promise<T>): Promise<T> => {
      if (!current()) throw new RabbitAway('that the one this was for has ended');
      const channel = await opening();
      if (current()) return channel;
      channel.close().catch(() => {});
      throw new RabbitAway('that the one this was for has ended');
    };
    const source: ChannelSource = {
      channel: () => from(connection.channel),
      confirmChannel: () => from(connection.confirmChannel),
    };
    for (let againMs: number | undefined; current(); ) {
      try {
        await setUp(source);
        return;
      } catch (error) {
        if (!current()) return;
        againMs = nextBackoffMs(againMs, backoff);
        log.error({ err: error, retryInMs: againMs }, 'setting up on a RabbitMQ connection failed');
        await pause(againMs);
      }
    }
  }

  async function open<T extends Channel>(make: (from: RecoveringChannelModel) => Promise<T>): Promise<T> {
    const waiting = new AbortController();
    const made = opening.then(make);
    const late = pause(channelTimeoutMs, waiting.signal).then(() => undefined);
    const channel = await Promise.race([made, late]).finally(() => waiting.abort());
    if (channel === undefined) {
      made
        .then(
          (unwanted) => unwanted.close(),
          () => {},
        )
        .catch(() => {});
      throw new RabbitAway(`none within ${channelTimeoutMs} ms`);
    }
    // Without a listener a refused declaration, say, would end the process; `close` follows and ends the channel.
    channel.on('error', (error) => log.warn({ err: error }, 'RabbitMQ closed a channel'));
    // Every message that is being published listens for its own return.
    channel.setMaxListeners(0);
    return channel;
  }

  const connection: RabbitConnection = {
    ready: () => state === 'ready',
    channel: () => open((from) => from.createChannel()),
    confirmChannel: () => open((from) => from.createConfirmChannel()),
    onConnected(setUp) {
      setUps.add(setUp);
      if (connected()) void runSetUp(setUp);
      return () => void setUps.delete(setUp);
    },
    async close() {
      if (state === 'closed') return;
      state = 'closed';
      setUps.clear();
      const closing = new AbortController();
      const closed = (model ?? (await opening)).close().catch(() => {});
      await Promise.race([closed, pause(closeTimeoutMs, closing.signal)]).finally(() => closing.abort());
    },
  };
  return connection;
}

function withHeartbeat(url: string, heartbeatS: number): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 'amqp:' && parsed?.protocol !== 'amqps:') {
    throw new TypeError(
      `RabbitMQ's address: expected amqp://user:password@host:port, found the protocol ${parsed?.protocol ?? 'none'}`,
    );
  }
  if (!parsed.searchParams.has('heartbeat')) parsed.searchParams.set('heartbeat', String(heartbeatS));
  return parsed.href;
}
