import { exitOnConfigError } from '../config.ts';
import { offerTracing } from './bridge.ts';
import { tracingConfig } from './config.ts';

/**
 * Switches traces on for this process where TRACING_URL says where to send them; otherwise nothing is loaded and nothing
 * is recorded. To be called by a program before it makes its metrics. The lifecycle sends what is left when it stops.
 */
export async function startTracing(
  service: string,
  env: Record<string, string | undefined> = process.env,
): Promise<void> {
  const config = exitOnConfigError(() => tracingConfig(service, env));
  if (config === undefined) return;
  const { createTracing } = await import('./provider.ts');
  offerTracing(createTracing({ service, ...config }));
}
