import { durationMs, integer, loadConfig, port, url } from '@strangler/platform/config.ts';
import { z } from 'zod';

const environment = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3900),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  /** Where webhooks go; none are sent while it is unset. `PUT /control` can change it. */
  WEBHOOK_URL: url(['http:', 'https:']).optional(),
  /** The secret shared with the shop, with which webhooks are signed. */
  PAYMENT_WEBHOOK_SECRET: z.string().min(16).default('development-webhook-secret'),
  WEBHOOK_RETRY_MIN: durationMs().default(200),
  WEBHOOK_RETRY_MAX: durationMs().default(30_000),
  WEBHOOK_ATTEMPTS: integer({ min: 1, max: 100 }).default(15),
  /** Charges kept in memory; older ones are forgotten. */
  MAX_CHARGES: integer({ min: 100, max: 1_000_000 }).default(20_000),
  DRAIN_GRACE: durationMs().default(5_000),
});

export type ProviderConfig = z.infer<typeof environment>;

export function readConfig(env: NodeJS.ProcessEnv = process.env): ProviderConfig {
  return loadConfig('payment-provider', environment, env);
}
