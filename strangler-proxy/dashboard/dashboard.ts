import { readFile, stat } from 'node:fs/promises';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { createReportReader } from '@strangler/platform/shadow-report/read-report.ts';
import { defaultReportPrefix } from '@strangler/platform/shadow-report/report.ts';
import type { Router } from 'express';
import { Registry } from 'prom-client';
import { exposeDashboard } from '../account/dashboard-metrics.ts';
import type { ProxyConfig } from '../config.ts';
import { dashboardRoutes } from './dashboard-routes.ts';
import { createEventStreams } from './events.ts';
import { createFeed } from './feed.ts';
import { createGuard } from './guard.ts';
import { createOrders } from './orders.ts';
import { readTokenHolders, type TokenHolders } from './roles.ts';
import { createSessions } from './sessions.ts';
import { type Snapshot, startWatching } from './watch.ts';

export type DashboardOptions = {
  config: ProxyConfig;
  slices: readonly Slice[];
  log: Log;
  /** Where this proxy's admin port is; asked once it is known. */
  admin: () => string;
  status: () => Promise<ProxyStatus>;
};

export type Dashboard = {
  router: Router;
  /** Its own, in Prometheus's text format. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
};

const redisTimeoutMs = 500;
const feedBounds = { maxEvents: 500, maxBytes: 4 * 1024 ** 2 };

/** Opens what the dashboard looks at, and the routes of its page. */
export const openDashboard = async ({ config, slices, log, admin, status }: DashboardOptions): Promise<Dashboard> => {
  const holders = await readHolders(config.adminTokensFile, log);
  const sessions = createSessions({ lastsMs: config.adminSessionMs });
  // Two proxies of one host share its cookies, whatever their ports.
  const cookieName = `strangler_admin_${config.id.replaceAll(/[^A-Za-z0-9]/g, '_')}`;
  const feed = createFeed(feedBounds);
  const opened =
    config.flagStore === null || slices.length === 0
      ? null
      : openFlagStore(config.flagStore, { log, ...(config.consulToken === null ? {} : { token: config.consulToken }) });
  const consul = opened?.consul == null ? null : { client: opened.consul, root: opened.root! };
  const redis =
    config.redisUrl === null || slices.length === 0
      ? null
      : createRedis({ url: config.redisUrl, log, commandTimeoutMs: redisTimeoutMs });
  const report = redis === null ? null : createReportReader({ redis, prefix: defaultReportPrefix });
  const watching =
    opened === null
      ? null
      : startWatching({
          ...{ slices, store: opened.store, consul, report, feed, log },
          redisReady: () => redis?.ready() ?? null,
          own: { id: config.id, admin, status },
        });
  const streams = createEventStreams({ feed, snapshot: () => watching?.snapshot() ?? nothing });
  const registry = new Registry();
  registry.setDefaultLabels({ service: 'strangler-proxy' });
  exposeDashboard(registry, streams.size);
  const router = dashboardRoutes({
    ...{ slices, store: opened?.store ?? null, report, holders, sessions, cookieName, streams },
    orders: consul === null ? null : createOrders(consul),
    guard: createGuard({ holders, sessions, cookieName }),
    onChange({ slice, by, change }) {
      log.info({ slice, by, change }, 'flags changed at the dashboard');
      watching?.lookSoon();
    },
  });
  return {
    router,
    metrics: () => registry.metrics(),
    async stop() {
      streams.closeAll();
      await watching?.stop();
      await redis?.close();
      opened?.close();
    },
  };
};

const nothing: Snapshot = {
  ...{ slices: [], proxies: [], traffic: [], mismatches: [], history: [], troubles: [], hasReport: false },
  store: {
    location: 'nowhere',
    reachable: false,
    why: 'this proxy follows no flags: start it with --slices and --flags',
  },
};

const readHolders = async (file: string | null, log: Log): Promise<TokenHolders | null> => {
  if (file === null) return null;
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`ADMIN_TOKENS_FILE: expected a file that can be read at ${file}, found ${cause.code}`, { cause });
  });
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0)
    log.warn({ file }, 'others of this machine may read the tokens; chmod 600 keeps them to you');
  return readTokenHolders(text, file);
};
