import type { BatchSpanProcessor, ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace';
import { Counter, Gauge, type Registry } from 'prom-client';

/** `full`: too many waited. `not-sent`: the receiver did not take them. */
export type DropReason = 'full' | 'not-sent';

export type SpanBook = {
  waiting(): number;
  sent(): number;
  dropped(): Readonly<Record<DropReason, number>>;
  /** Tells the exporter's outcomes to the book. */
  exporter(inner: SpanExporter): SpanExporter;
  /** Lets no more through than may wait. */
  processor(inner: Pick<BatchSpanProcessor, 'onStart' | 'onEnd' | 'forceFlush' | 'shutdown'>): SpanProcessor;
};

/** The SDK drops spans above its queue's bound and says so to nobody: this counts every span that does not arrive. */
export function createSpanBook({ maxWaiting }: { maxWaiting: number }): SpanBook {
  let waiting = 0;
  let sent = 0;
  const dropped: Record<DropReason, number> = { full: 0, 'not-sent': 0 };
  return {
    waiting: () => waiting,
    sent: () => sent,
    dropped: () => dropped,
    exporter: (inner) => ({
      export(spans: ReadableSpan[], done) {
        inner.export(spans, (result) => {
          waiting -= spans.length;
          // 0 is success.
          if (result.code === 0) sent += spans.length;
          else dropped['not-sent'] += spans.length;
          done(result);
        });
      },
      shutdown: () => inner.shutdown(),
    }),
    processor: (inner) => ({
      onStart: (span, context) => inner.onStart(span, context),
      onEnd(span) {
        if (waiting >= maxWaiting) {
          dropped.full += 1;
          return;
        }
        waiting += 1;
        inner.onEnd(span);
      },
      forceFlush: () => inner.forceFlush(),
      shutdown: () => inner.shutdown(),
    }),
  };
}

export function exposeSpanBook(registry: Registry, book: Pick<SpanBook, 'waiting' | 'sent' | 'dropped'>): void {
  const registers = [registry];
  new Counter({
    name: 'tracing_spans_sent_total',
    help: 'Spans that the receiver of traces has taken.',
    registers,
    collect() {
      this.reset();
      this.inc(book.sent());
    },
  });
  new Counter({
    name: 'tracing_spans_dropped_total',
    help: 'Spans that were lost: too many waited, or the receiver did not take them.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(book.dropped())) this.inc({ reason }, count);
    },
  });
  new Gauge({
    name: 'tracing_spans_waiting',
    help: 'Spans that wait to be sent.',
    registers,
    collect() {
      this.set(book.waiting());
    },
  });
}
