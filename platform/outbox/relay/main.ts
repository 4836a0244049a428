import { exitOnConfigError } from '../../config.ts';
import { createLog } from '../../log.ts';
import { startTracing } from '../../tracing/start.ts';
import { relayConfig } from './config.ts';
import { startRelayProcess } from './process.ts';

const config = exitOnConfigError(() => relayConfig());
const log = createLog({ name: 'relay', level: config.logLevel });
await startTracing('relay');
try {
  const relay = await startRelayProcess({ config, log });
  relay.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the relay could not start');
  process.exitCode = 1;
}
