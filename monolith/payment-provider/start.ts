import { healthRouter } from '@strangler/platform/http/health.ts';
import { noSuchRoute, problemResponder } from '@strangler/platform/http/problem.ts';
import { requestContext } from '@strangler/platform/http/request-context.ts';
import { requestLog } from '@strangler/platform/http/request-log.ts';
import { startHttpServer } from '@strangler/platform/http/server.ts';
import type { Log } from '@strangler/platform/log.ts';
import express from 'express';
import { ChargeBook } from './charge-book.ts';
import type { ProviderConfig } from './config.ts';
import { providerRoutes } from './provider.ts';
import { WebhookSender } from './webhook-sender.ts';

export type RunningProvider = { url: string; close(graceMs: number): Promise<void> };

/** Starts the provider's HTTP server. Callers left hanging by `answer: never` are cut when it closes. */
export async function startProvider(
  config: ProviderConfig,
  log: Log,
  draining: () => boolean = () => false,
): Promise<RunningProvider> {
  const webhooks = new WebhookSender({
    secret: config.PAYMENT_WEBHOOK_SECRET,
    retryMinMs: config.WEBHOOK_RETRY_MIN,
    retryMaxMs: config.WEBHOOK_RETRY_MAX,
    maxAttempts: config.WEBHOOK_ATTEMPTS,
    maxWaiting: 10_000,
    timeoutMs: 5_000,
    log,
  });
  const app = express();
  app.disable('x-powered-by');
  app.use(requestContext());
  app.use(requestLog(log));
  app.use(healthRouter({ checks: {}, draining }));
  app.use(
    providerRoutes({ book: new ChargeBook(config.MAX_CHARGES), webhooks, webhookUrl: config.WEBHOOK_URL ?? null }),
  );
  app.use(noSuchRoute());
  app.use(problemResponder(log));

  const running = await startHttpServer({ handler: app, host: config.HOST, port: config.PORT, log });
  return {
    url: running.url,
    close: async (graceMs) => {
      webhooks.close();
      await running.drain(graceMs);
    },
  };
}
