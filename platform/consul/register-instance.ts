import type { RunningServer } from '../http/server.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { createConsul } from './client.ts';
import { register } from './register.ts';

/**
 * Registers this process at Consul as an instance of a service, for as long as it takes requests: `lifecycle` ends it first.
 * `id`: this instance's name, after its port unless told.
 */
export async function registerInstance(options: {
  consulUrl: string;
  name: string;
  id: string | undefined;
  server: RunningServer;
  meta?: Record<string, string>;
  lifecycle: Lifecycle;
  log: Log;
}): Promise<void> {
  const { consulUrl, name, id, server, meta = {}, lifecycle, log } = options;
  const consul = createConsul({ url: consulUrl, log });
  lifecycle.onStop('close', 'consul', () => consul.close());
  const registration = await register(consul, {
    ...{ name, id: id ?? `${name}-${server.port}`, meta },
    ...{ address: server.host, port: server.port },
  });
  lifecycle.onStop('deregister', 'consul', () => registration.deregister());
}
