import { expect, test } from '@jest/globals';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import fc from 'fast-check';
import { createSpanBook } from './bounded-spans.ts';

const span = {} as ReadableSpan;

test('every span is sent, dropped or waiting, and no more wait than may', () => {
  const step = fc.oneof(
    fc.constant({ kind: 'end' as const }),
    fc.record({
      kind: fc.constant('send' as const),
      spans: fc.integer({ min: 1, max: 5 }),
      code: fc.constantFrom(0, 1),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (steps, maxWaiting) => {
      const book = createSpanBook({ maxWaiting });
      let queued: ReadableSpan[] = [];
      const processor = book.processor({
        onStart: () => {},
        onEnd: (ended) => void queued.push(ended),
        forceFlush: async () => {},
        shutdown: async () => {},
      });
      let code = 0;
      const exporter = book.exporter({
        export: (_spans, done) => done({ code }),
        shutdown: async () => {},
      } satisfies SpanExporter);
      let ended = 0;
      for (const each of steps) {
        if (each.kind === 'end') {
          ended += 1;
          processor.onEnd(span);
        } else {
          code = each.code;
          exporter.export(queued.slice(0, each.spans), () => {});
          queued = queued.slice(each.spans);
        }
        const dropped = Object.values(book.dropped()).reduce((sum, count) => sum + count, 0);
        expect(book.waiting()).toBe(queued.length);
        expect(book.waiting()).toBeLessThanOrEqual(maxWaiting);
        expect(book.sent() + dropped + book.waiting()).toBe(ended);
      }
    }),
  );
});
