import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What a relay has done and holds, read when the metrics are. */
export type RelayState = {
  leases(): number;
  unconfirmed(): number;
  oldestUnconfirmedMs(): number;
  heldRows(): number;
  heldBytes(): number;
  refusedRows(): number;
  /** Asked of the database: of all parts, whoever has their leases. */
  lagMs(): Promise<number>;
};

export type RelayMetrics = {
  published(delayMs: number): void;
  refused(why: 'returned' | 'nacked' | 'unsendable'): void;
  read(rows: number): void;
  marked(rows: number): void;
  fenced(rows: number): void;
  lost(rows: number): void;
};

export function createRelayMetrics(registry: Registry, state: RelayState): RelayMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number | Promise<number>) =>
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        try {
          this.set(await value());
        } catch {
          // Better no value than an old one.
          this.remove();
        }
      },
    });
  gauge('relay_lag_seconds', 'Age of the oldest row that is not published.', async () => (await state.lagMs()) / 1000);
  gauge('relay_leases_held', 'Parts whose lease this relay holds.', state.leases);
  gauge('relay_unconfirmed_messages', 'Messages sent and not confirmed.', state.unconfirmed);
  gauge(
    'relay_oldest_unconfirmed_seconds',
    'How long the oldest of them waits.',
    () => state.oldestUnconfirmedMs() / 1000,
  );
  gauge('relay_held_rows', 'Rows read and not marked.', state.heldRows);
  gauge('relay_held_bytes', 'Bytes of those rows, roughly.', state.heldBytes);
  gauge('relay_refused_rows', 'Rows that were refused and wait to be sent again.', state.refusedRows);

  const published = new Counter({ name: 'relay_published_total', help: 'Messages that were confirmed.', registers });
  const refused = new Counter({
    name: 'relay_refused_total',
    help: 'Messages returned (no queue takes them), nacked (a queue refused them) or that cannot be sent.',
    labelNames: ['why'],
    registers,
  });
  for (const why of ['returned', 'nacked', 'unsendable']) refused.inc({ why }, 0);
  const fenced = new Counter({
    name: 'relay_fenced_rows_total',
    help: 'Confirmed rows that were not marked because the lease was somebody else’s by then.',
    registers,
  });
  const lost = new Counter({
    name: 'relay_lost_rows_total',
    help: 'Rows sent over a channel that ended before the confirm; they are sent again.',
    registers,
  });
  const delay = new Histogram({
    name: 'relay_publish_delay_seconds',
    help: 'From the insert of a row to the confirm of its message.',
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600],
    registers,
  });
  const sizes = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000];
  const batch = new Histogram({ name: 'relay_read_rows', help: 'Rows of a read.', buckets: sizes, registers });
  const mark = new Histogram({ name: 'relay_mark_rows', help: 'Rows of a marking.', buckets: sizes, registers });
  return {
    published(delayMs) {
      published.inc();
      delay.observe(delayMs / 1000);
    },
    refused: (why) => refused.inc({ why }),
    read: (rows) => batch.observe(rows),
    marked: (rows) => mark.observe(rows),
    fenced: (rows) => fenced.inc(rows),
    lost: (rows) => lost.inc(rows),
  };
}
