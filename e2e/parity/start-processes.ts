import { generateKeyPairSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { freePort, type TestServers } from '@strangler/platform/testing/servers.ts';
import { type Program, startProgram } from '../processes/program.ts';

/** The moment that it is for monolith and catalogue, always. */
export const PINNED_TIME = '2026-02-03T04:05:06.789Z';

const pinnedClock = fileURLToPath(new URL('./pinned-clock.ts', import.meta.url));
const pinned = { NODE_OPTIONS: `--import=${pinnedClock}`, PINNED_TIME };

export type RunningProgram = Program & { url: string };

/** An Ed25519 private key, PKCS#8 PEM, for the monolith to sign with and for tests to make any token. */
export function newSigningKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export async function startMonolith(options: {
  servers: TestServers;
  databaseUrl: string;
  prefix: string;
  signingKey: string;
  env?: Record<string, string>;
}): Promise<RunningProgram> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = await startProgram({
    name: 'monolith',
    entry: 'monolith/main.ts',
    env: {
      ...pinned,
      PORT: String(port),
      DATABASE_URL: options.databaseUrl,
      REDIS_URL: options.servers.redisUrl,
      REDIS_PREFIX: `${options.prefix}:shop:`,
      JWT_PRIVATE_KEY: options.signingKey,
      LOG_LEVEL: 'error',
      ...options.env,
    },
    readyUrl: `${url}/health/ready`,
  });
  return { ...program, url };
}

export type RunningCatalogProgram = RunningProgram & { grpcAddress: string };

export async function startCatalog(options: {
  servers: TestServers;
  databaseUrl: string;
  prefix: string;
  monolithUrl: string;
  env?: Record<string, string>;
}): Promise<RunningCatalogProgram> {
  const [port, grpcPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const program = await startProgram({
    name: 'catalog',
    entry: 'extracted/catalog/main.ts',
    env: {
      ...pinned,
      PORT: String(port),
      GRPC_PORT: String(grpcPort),
      DATABASE_URL: options.databaseUrl,
      REDIS_URL: options.servers.redisUrl,
      REDIS_PREFIX: `${options.prefix}:catalog:`,
      JWKS_URL: `${options.monolithUrl}/.well-known/jwks.json`,
      LOG_LEVEL: 'error',
      ...options.env,
    },
    readyUrl: `${url}/health/ready`,
  });
  return { ...program, url, grpcAddress: `127.0.0.1:${grpcPort}` };
}

/** A service whose pages need nothing but its database and the shop's keys. */
export async function startService(options: {
  name: 'inventory' | 'payments';
  databaseUrl: string;
  monolithUrl: string;
  env?: Record<string, string>;
}): Promise<RunningProgram> {
  const { name, databaseUrl, monolithUrl, env } = options;
  const [port, grpcPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const program = await startProgram({
    name,
    entry: `extracted/${name}/main.ts`,
    env: {
      ...pinned,
      PORT: String(port),
      GRPC_PORT: String(grpcPort),
      DATABASE_URL: databaseUrl,
      JWKS_URL: `${monolithUrl}/.well-known/jwks.json`,
      LOG_LEVEL: 'error',
      ...env,
    },
    readyUrl: `${url}/health/ready`,
  });
  return { ...program, url };
}

export type RunningProxyProgram = RunningProgram & { adminUrl: string };

/** The proxy before one monolith and the given instances of the catalogue. */
export async function startProxy(options: {
  monolithUrl: string;
  catalogUrls: readonly string[];
  /** `consul://host:port/root`. */
  flags: string;
  operatorToken: string;
  id: string;
}): Promise<RunningProxyProgram> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const args = [
    ['--monolith', options.monolithUrl],
    ['--slices', 'migrations/slices'],
    ['--flags', options.flags],
    // Named here: in Consul there may be instances of other runs.
    ['--services', `catalog=${options.catalogUrls.join(',')}`],
    ['--port', String(port)],
    ['--admin-port', String(adminPort)],
    ['--id', options.id],
  ];
  const program = await startProgram({
    name: 'proxy',
    entry: 'strangler-proxy/main.ts',
    args: args.flat(),
    env: { OPERATOR_TOKEN: options.operatorToken, LOG_LEVEL: 'error', ACCESS_LOG: 'none' },
    readyUrl: `${adminUrl}/health/ready`,
  });
  return { ...program, url: `http://127.0.0.1:${port}`, adminUrl };
}
