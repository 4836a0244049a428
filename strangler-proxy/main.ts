import cluster from 'node:cluster';
import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { CommandLineError, environmentWithArguments, readConfig, usage } from './config.ts';
import { tellPrimary } from './workers/messages.ts';

const leave = (text: string, code: number): never => {
  (code === 0 ? process.stdout : process.stderr).write(`${text}\n`);
  process.exit(code);
};

const readCommandLine = () => {
  try {
    return environmentWithArguments(cluster.isPrimary ? process.argv.slice(2) : [], process.env);
  } catch (error) {
    if (error instanceof CommandLineError) return leave(`strangler-proxy: ${error.message}. See --help.`, 2);
    throw error;
  }
};

const told = readCommandLine();
if (told.kind === 'help') leave(usage, 0);
const env = told.kind === 'environment' ? told.env : process.env;
const config = exitOnConfigError(() => readConfig(env));
const log = createLog({ name: 'strangler-proxy', level: config.logLevel });

try {
  // Each of the two has half of the proxy in common with the other.
  if (cluster.isPrimary) {
    const { runPrimary } = await import('./workers/primary.ts');
    await runPrimary(config, log, env);
  } else {
    await startTracing('strangler-proxy', env);
    const { runWorker } = await import('./workers/worker.ts');
    await runWorker(config, log, Number(process.env.WORKER_NUMBER ?? 1));
  }
} catch (error) {
  const why = (error as Error).message;
  log.fatal({ err: error }, 'the proxy cannot start');
  // The primary says it once, for all of its workers.
  if (cluster.isPrimary) leave(`strangler-proxy: ${why}`, 1);
  else tellPrimary({ kind: 'unusable', why }, () => process.exit(1));
}
