import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { ordersConfig } from './config.ts';
import { startOrders } from './orders.ts';

const config = exitOnConfigError(() => ordersConfig());
const log = createLog({ name: 'orders', level: config.logLevel });
await startTracing('orders');
try {
  const orders = await startOrders({ config, log });
  orders.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the orders could not start');
  process.exitCode = 1;
}
