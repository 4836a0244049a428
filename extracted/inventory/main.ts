import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { inventoryConfig } from './config.ts';
import { startInventory } from './inventory.ts';

const config = exitOnConfigError(() => inventoryConfig());
const log = createLog({ name: 'inventory', level: config.logLevel });
await startTracing('inventory');
try {
  const inventory = await startInventory({ config, log });
  inventory.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the inventory could not start');
  process.exitCode = 1;
}
