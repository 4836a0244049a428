import { startHttpServer } from '../http/server.ts';
import { createLog } from '../log.ts';

/** A span as it was reported, with the name of the program and of the instrumentation that made it. */
export type CollectedSpan = {
  service: string;
  scope: string;
  name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: Record<string, string | number | boolean>;
  /** 2: it failed. */
  status: { code?: number; message?: string };
};

export type Collector = {
  /** For TRACING_URL. */
  url: string;
  spans(): CollectedSpan[];
  /** Paths that something was sent to. */
  paths(): string[];
  close(): Promise<void>;
};

type ReportedSpan = Omit<CollectedSpan, 'service' | 'scope' | 'attributes'> & {
  attributes: { key: string; value: Record<string, string | number | boolean> }[];
};

type Export = {
  resourceSpans?: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { scope: { name: string }; spans: ReportedSpan[] }[];
  }[];
};

/** An OpenTelemetry collector that keeps what it is sent (OTLP over HTTP, in JSON). */
export async function startCollector(): Promise<Collector> {
  const received: { path: string; body: Export }[] = [];
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    log: createLog({ name: 'collector', level: 'silent' }),
    handler: async (req, res) => {
      const chunks: Buffer[] = [];
      for await (const chunk of req) chunks.push(chunk as Buffer);
      received.push({ path: req.url ?? '', body: JSON.parse(Buffer.concat(chunks).toString()) });
      res.setHeader('content-type', 'application/json').end('{}');
    },
  });
  const spans = () =>
    received
      .flatMap(({ body }) => body.resourceSpans ?? [])
      .flatMap(({ resource, scopeSpans }) => {
        const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
        return scopeSpans.flatMap((each) =>
          each.spans.map((span) => ({
            ...span,
            service,
            scope: each.scope.name,
            attributes: Object.fromEntries(
              span.attributes.flatMap(({ key, value }) => Object.values(value).map((one) => [key, one])),
            ),
          })),
        );
      });
  return {
    url: server.url,
    spans,
    paths: () => received.map(({ path }) => path),
    close: async () => {
      await server.drain(0);
    },
  };
}
