import type { Options } from 'amqplib';
import { contextFromHeaders, type RequestContext } from '../http/request-context.ts';
import type { Delivery, Outcome } from '../outbox/delivery.ts';
import { text } from '../outbox/delivery.ts';
import { messageHeaders, type OutgoingMessage } from '../outbox/message.ts';
import { tracing } from './bridge.ts';
import { childSpan, type OpenSpan, spanOf } from './span.ts';

const contexts = new WeakMap<Delivery, RequestContext>();

/** The request that a message was sent for, continued: its consumer is a span of its own, the same each time it is asked for. */
export function contextOfDelivery(delivery: Delivery): RequestContext {
  const known = contexts.get(delivery);
  if (known !== undefined) return known;
  const context = contextOf(delivery.headers);
  contexts.set(delivery, context);
  return context;
}

const contextOf = (headers: Readonly<Record<string, unknown>>): RequestContext =>
  contextFromHeaders({
    traceparent: text(headers[messageHeaders.traceparent]),
    tracestate: text(headers[messageHeaders.tracestate]),
    'x-request-id': text(headers[messageHeaders.requestId]),
  });

/** The handling of a message as a span, in the context that its handler runs in. */
export function spanOfDelivery(context: RequestContext, delivery: Delivery): OpenSpan | undefined {
  return spanOf(context, {
    name: `consume ${delivery.routingKey}`,
    kind: 'consumer',
    attributes: {
      'messaging.system': 'rabbitmq',
      'messaging.operation.type': 'process',
      'messaging.destination.name': delivery.queue,
      'messaging.rabbitmq.destination.routing_key': delivery.routingKey,
      'messaging.message.id': delivery.messageId,
      'strangler.attempt': delivery.attempt,
    },
  });
}

/** A word for what went wrong with a message; undefined for one that is done, or left for later. */
export function failureOf(outcome: Outcome | undefined): string | undefined {
  const kind = typeof outcome === 'object' ? outcome.outcome : outcome;
  return kind === 'done' || kind === 'later' ? undefined : (kind ?? 'retry');
}

type Handle = (batch: readonly Delivery[]) => Promise<readonly Outcome[]>;

/** Records a span for each message of a batch, in the trace that it came with, as long as the batch took. */
export function traceBatch(handle: Handle): Handle {
  return async (batch) => {
    if (tracing() === undefined) return handle(batch);
    const spans = batch.map((delivery) => spanOfDelivery(contextOfDelivery(delivery), delivery));
    try {
      const outcomes = await handle(batch);
      for (const [at, span] of spans.entries()) span?.end(failureOf(outcomes[at]));
      return outcomes;
    } catch (error) {
      for (const span of spans) span?.end('retry');
      throw error;
    }
  };
}

/**
 * The sending of a message as a span below the one in its headers, which are made to name the sending from then on; undefined
 * where its trace is not recorded or it has none.
 */
export function spanOfSending({ routingKey, properties }: OutgoingMessage, exchange: string): OpenSpan | undefined {
  const headers = properties.headers as Record<string, unknown> | undefined;
  if (tracing() === undefined || typeof headers?.[messageHeaders.traceparent] !== 'string') return undefined;
  const written = parentOf(headers);
  const span = childSpan(
    {
      name: `publish ${routingKey}`,
      kind: 'producer',
      attributes: {
        'messaging.system': 'rabbitmq',
        'messaging.operation.type': 'send',
        'messaging.destination.name': exchange,
        'messaging.rabbitmq.destination.routing_key': routingKey,
        'messaging.message.id': String((properties as Options.Publish).messageId ?? ''),
      },
    },
    written,
  );
  if (span !== undefined) headers[messageHeaders.traceparent] = span.context.traceparent;
  return span;
}

/** The context that wrote the row: what is sent is a part of that, and of nothing that was done since. */
function parentOf(headers: Record<string, unknown>): RequestContext | undefined {
  const own = contextOf(headers);
  if (own.parentSpanId === undefined) return undefined;
  const traceparent = `00-${own.traceId}-${own.parentSpanId}-${own.traceparent.slice(-2)}`;
  return { requestId: own.requestId, traceparent, traceId: own.traceId, spanId: own.parentSpanId };
}
