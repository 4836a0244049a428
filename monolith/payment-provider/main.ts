import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLifecycle } from '@strangler/platform/lifecycle.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { readConfig } from './config.ts';
import { startProvider } from './start.ts';

await exitOnConfigError(async () => {
  const config = readConfig();
  const log = createLog({ name: 'payment-provider', level: config.LOG_LEVEL });
  await startTracing('payment-provider');
  const lifecycle = createLifecycle({ log, graceMs: config.DRAIN_GRACE });
  lifecycle.installSignals();
  const provider = await startProvider(config, log, lifecycle.draining);
  lifecycle.onStop('drain', 'http', async () => {
    await provider.close(config.DRAIN_GRACE);
  });
  log.info({ url: provider.url }, 'payment provider is listening');
});
