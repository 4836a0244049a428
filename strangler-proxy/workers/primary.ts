import { mkdir } from 'node:fs/promises';
import { createConsul } from '@strangler/platform/consul/client.ts';
import { register } from '@strangler/platform/consul/register.ts';
import { type ProxyStatus, proxyServiceName } from '@strangler/platform/contracts/proxy-status.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import promClient from 'prom-client';
import { createAdminApp } from '../admin/admin-app.ts';
import type { ProxyConfig } from '../config.ts';
import { openDashboard } from '../dashboard/dashboard.ts';
import { checkGatewayFile } from '../gateway/gateway.ts';
import { buildRouteTable } from '../routes/route-table.ts';
import { checkServerCertificate } from '../tls/server-certificate.ts';
import { followCanaries } from './canaries.ts';
import { type Crew, startCrew } from './crew.ts';
import { followHolds } from './holds.ts';

/** Runs the proxy's first process: it starts the workers, answers on the admin port and tells Consul of the proxy. */
export const runPrimary = async (config: ProxyConfig, log: Log, env: NodeJS.ProcessEnv): Promise<void> => {
  // Every worker reads the slice files itself; reading them here first turns a fault into one message and no processes.
  const slices = config.slicesDirectory === null ? [] : await readSliceDirectory(config.slicesDirectory);
  buildRouteTable(slices);
  if (config.gatewayFile !== null) checkGatewayFile(config.gatewayFile);
  if (config.tls !== null) checkServerCertificate(config.tls);
  if (config.dataDirectory !== null) await mkdir(config.dataDirectory, { recursive: true });

  // A worker has its own grace for what is in flight; the primary waits a little longer than that.
  const graceMs = config.drainGraceMs + 2_000;
  const lifecycle = createLifecycle({ log, graceMs: graceMs + 1_000 });
  lifecycle.installSignals();
  let crew: Crew | null = null;

  const clusterMetrics = new promClient.AggregatorRegistry();
  const status = async (): Promise<ProxyStatus> => ({
    id: config.id,
    slices: slices.map(({ slice, service }) => ({ slice, service })),
    workers: (await crew?.statuses()) ?? [],
    membership: holds.membership(),
    acknowledged: holds.acknowledged(),
    canaries: canaries.seen(),
  });
  const dashboard = await openDashboard({ config, slices, log, status, admin: () => admin.url });
  const admin = await startHttpServer({
    handler: createAdminApp({
      log,
      draining: lifecycle.draining,
      ready: async () => {
        const listening = crew?.size() ?? 0;
        if (listening < config.workers) throw new Error(`${listening} of ${config.workers} workers listen`);
      },
      status,
      dashboard: dashboard.router,
      metrics: async () => ({
        contentType: clusterMetrics.contentType,
        text: `${await clusterMetrics.clusterMetrics()}\n${await canaries.metrics()}`,
      }),
    }),
    host: config.adminHost,
    port: config.adminPort,
    log,
    name: 'admin',
  });
  lifecycle.onStop('close', 'admin port', async () => {
    await dashboard.stop();
    await admin.drain(500);
  });

  const holds = followHolds(slices.length === 0 ? null : config.flagStore, {
    id: config.id,
    admin: admin.url,
    token: config.consulToken,
    log,
    tellWorkers: (message) => crew?.tellAll(message),
  });
  const canaries = followCanaries({ id: config.id, slices, member: holds.member, log });
  lifecycle.onStop('close', 'membership', async () => {
    await canaries.stop();
    await holds.stop();
  });
  // Workers read their flags after this proxy is known: a hold that is not waited for is one that they will have read.
  await holds.ready;
  crew = startCrew({
    count: config.workers,
    log,
    env,
    graceMs,
    agreement: holds.agreement,
    onReads: canaries.take,
    standing: holds.standing,
  });
  const started = crew;
  if (config.gatewayFile !== null || config.tls !== null)
    process.on('SIGHUP', () => started.tellAll({ kind: 'reload' }));
  lifecycle.onStop('drain', 'workers', () => started.stop('the proxy stops'));

  const port = await crew.listening;
  const url = `${config.tls === null ? 'http' : 'https'}://${config.host}:${port}`;
  if (config.consulUrl !== null) {
    const consul = createConsul({
      url: config.consulUrl,
      log,
      ...(config.consulToken === null ? {} : { token: config.consulToken }),
    });
    const registered = await register(consul, {
      name: proxyServiceName,
      id: config.id,
      address: config.adminHost,
      port: admin.port,
      meta: { admin: admin.url, http: url },
    });
    lifecycle.onStop('deregister', 'Consul', () => registered.deregister());
    lifecycle.onStop('close', 'Consul connections', () => consul.close());
  }
  log.info(
    {
      url,
      admin: admin.url,
      workers: config.workers,
      slices: slices.map((one) => one.slice),
    },
    'proxy ready',
  );
};
