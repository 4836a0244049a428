import type { Registry } from 'prom-client';
import { boundedLog } from '../bounded-log.ts';
import { serviceTokenHeader } from '../contracts/headers.ts';
import type { GrpcClientTrust } from '../grpc/client.ts';
import type { GrpcServerOptions } from '../grpc/server.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { type Admission, createAdmission, openAdmission } from './admission.ts';
import type { ServiceTrustConfig } from './config.ts';
import { type FollowedFiles, followFiles } from './followed-files.ts';
import { createGrpcAdmit } from './grpc.ts';
import { createHttpGuard, type HttpGuard } from './http.ts';
import type { GrpcCallers } from './judge.ts';
import { type KeyRing, parseKeyRing } from './key-ring.ts';
import { createTrustMetrics, exposeCertificate, type TrustMetrics } from './metrics.ts';
import type { ServiceTokens } from './service-tokens.ts';
import type { GrpcTls } from './tls.ts';
import { openTrustBundle, parseTrustFile, TrustFileError } from './trust-bundle.ts';

/** A connection that outlives its certificate is one that nobody checks any more. */
const mostConnectionAgeMs = 600_000;

/** What a program needs to know who calls it, and to say who it is. */
export type ServiceTrust = {
  http: HttpGuard;
  /** For `startGrpcServer`. */
  grpcServer(callers: GrpcCallers): Pick<GrpcServerOptions, 'admit' | 'credentials' | 'mostConnectionAgeMs'>;
  /** For clients of this service over gRPC. */
  grpcClientOf(service: string): GrpcClientTrust;
  /** Headers for a request to this service; none where there are no keys. */
  headersFor(service: string): Promise<Record<string, string>>;
};

export type ServiceTrustOptions = {
  /** The name of this program's service. */
  self: string;
  config: ServiceTrustConfig;
  metrics: Registry;
  log: Log;
  lifecycle: Pick<Lifecycle, 'onStop'>;
};

/**
 * Reads keys, trust file and certificates, and follows them; rejects where one that is named is not good. The libraries for each
 * are loaded where it is named, for together they are a hundred modules.
 */
export async function openServiceTrust(options: ServiceTrustOptions): Promise<ServiceTrust> {
  const { self, config, log, lifecycle } = options;
  const metrics = createTrustMetrics(options.metrics);
  const followed: { stop(): void }[] = [];
  lifecycle.onStop('close', 'service trust', async () => {
    for (const one of followed) one.stop();
  });
  const follow = <T extends { stop(): void }>(one: T): T => {
    followed.push(one);
    return one;
  };
  const tokens = await openTokens({ self, config, metrics, log, follow });
  const admission = await openAdmissionOf({ self, config, metrics, log, follow });
  const tls = await openTls({ self, config, metrics, log, follow });
  exposeCertificate(options.metrics, () => tls?.expiresAtS());
  log.info({ mode: config.mode, signs: tokens !== undefined, tls: tls !== undefined }, 'trust between services');
  return assemble({ self, admission, apiCallers: config.apiCallers, tokens, tls });
}

/** Asks nobody, and says nothing: for tests, and for tools that call nothing. */
export const noTrust = (self: string): ServiceTrust =>
  assemble({ self, admission: openAdmission, apiCallers: [], tokens: undefined, tls: undefined });

function assemble({
  self,
  admission,
  apiCallers,
  tokens,
  tls,
}: {
  self: string;
  admission: Admission;
  apiCallers: readonly string[];
  tokens: ServiceTokens | undefined;
  tls: GrpcTls | undefined;
}): ServiceTrust {
  return {
    http: createHttpGuard(admission, self, apiCallers),
    grpcServer: (callers) => {
      const admit = createGrpcAdmit(admission, callers);
      return tls === undefined ? { admit } : { admit, credentials: tls.server, mostConnectionAgeMs };
    },
    grpcClientOf: (service) => ({
      ...(tokens === undefined ? {} : { token: () => tokens.tokenFor(service) }),
      ...(tls === undefined ? {} : { credentials: tls.clientOf(service) }),
    }),
    headersFor: async (service): Promise<Record<string, string>> =>
      tokens === undefined ? {} : { [serviceTokenHeader]: await tokens.tokenFor(service) },
  };
}

type Opening = Pick<ServiceTrustOptions, 'self' | 'config' | 'log'> & {
  metrics: TrustMetrics;
  follow<T extends { stop(): void }>(one: T): T;
};

async function openTokens({ self, config, metrics, log, follow }: Opening): Promise<ServiceTokens | undefined> {
  const { key, tokenLifeMs: lifeMs } = config;
  if (key === undefined) return undefined;
  const { createServiceTokens } = await import('./service-tokens.ts');
  const parse = (text: string, from: string): KeyRing => {
    const ring = parseKeyRing(text, from);
    if (ring.service !== self)
      throw new TrustFileError(from, `expected the keys of ${self}, found those of ${ring.service}`);
    return ring;
  };
  if ('text' in key) {
    const ring = parse(key.text, 'SERVICE_KEY');
    return createServiceTokens({ ring: () => ring, lifeMs });
  }
  const rings: FollowedFiles<KeyRing> = follow(
    await followFiles({
      paths: [key.file],
      name: "the service's own keys",
      read: ([text = '']) => parse(text, key.file),
      log,
      onOutcome: (outcome) => metrics.loaded('key', outcome),
    }),
  );
  return createServiceTokens({ ring: rings.now, lifeMs });
}

async function openAdmissionOf({ self, config, metrics, log, follow }: Opening): Promise<Admission> {
  const { mode, trustFile } = config;
  if (mode === 'off' || trustFile === undefined) return openAdmission;
  const { createTokenVerifier } = await import('./token-verifier.ts');
  const bundles = follow(
    await followFiles({
      paths: [trustFile],
      name: 'the trust file',
      read: ([text = '']) => openTrustBundle(parseTrustFile(text, trustFile)),
      log,
      onOutcome: (outcome) => metrics.loaded('trust', outcome),
    }),
  );
  const verifier = createTokenVerifier({ self, bundle: bundles.now, refresh: bundles.refresh });
  return createAdmission({ mode, self, verifier, bundle: bundles.now, metrics, log: boundedLog(log) });
}

async function openTls({ config, metrics, log, follow }: Opening): Promise<GrpcTls | undefined> {
  if (config.tls === undefined) return undefined;
  const { followTls } = await import('./tls.ts');
  return follow(await followTls(config.tls, { log, onOutcome: (outcome) => metrics.loaded('certificate', outcome) }));
}
