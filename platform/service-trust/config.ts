import { z } from 'zod';
import { ConfigError, durationMs, list } from '../config.ts';
import { type TrustMode, trustModes } from './admission.ts';
import { mostTokenLifeMs } from './claims.ts';
import { serviceName } from './names.ts';
import type { TlsFiles } from './tls.ts';

/** For a program that calls services and is called by none. docs/service-trust.md says what each is for. */
export const serviceKeyVariables = {
  /** This service's own keys; with them its calls to others carry tokens, whatever SERVICE_TRUST says. */
  SERVICE_KEY_FILE: z.string().min(1).optional(),
  /** The same as a text, where there is no file; to change it needs a restart. */
  SERVICE_KEY: z.string().min(1).optional(),
  /** How long a token is good for. */
  SERVICE_TOKEN_TTL: durationMs({ min: 5_000, max: mostTokenLifeMs }).default(60_000),
};

/** PEM files; with all three, gRPC is TLS in which both sides show a certificate. */
export const grpcTlsVariables = {
  GRPC_TLS_CERT_FILE: z.string().min(1).optional(),
  GRPC_TLS_KEY_FILE: z.string().min(1).optional(),
  GRPC_TLS_CA_FILE: z.string().min(1).optional(),
};

/** To be spread into the schema of a program that services call. */
export const serviceTrustVariables = {
  ...serviceKeyVariables,
  /** What is done with calls whose caller has not proven to be one that may make them. Needs SERVICE_TRUST_FILE. */
  SERVICE_TRUST: z.enum(trustModes).default('off'),
  /** Who may call whom, and with which public keys. */
  SERVICE_TRUST_FILE: z.string().min(1).optional(),
  /** Who alone may ask for the service's public routes, such as `proxy,operator`. Default: everybody. Needs SERVICE_TRUST. */
  SERVICE_API_CALLERS: list()
    .default([])
    .refine((names) => names.every((name) => serviceName.safeParse(name).success), {
      message: 'must be names of callers such as proxy,operator',
    }),
  ...grpcTlsVariables,
};

type KeyVariables = z.infer<z.ZodObject<typeof serviceKeyVariables>>;
type TlsVariables = z.infer<z.ZodObject<typeof grpcTlsVariables>>;
type Variables = z.infer<z.ZodObject<typeof serviceTrustVariables>>;
export type ServiceTrustConfig = {
  mode: TrustMode;
  trustFile: string | undefined;
  /** Empty: everybody may ask for the public routes. */
  apiCallers: readonly string[];
  key: { file: string } | { text: string } | undefined;
  tokenLifeMs: number;
  tls: TlsFiles | undefined;
};

/** Nobody is asked who calls, and nothing says who we are. */
export const noServiceTrust: ServiceTrustConfig = {
  mode: 'off',
  trustFile: undefined,
  apiCallers: [],
  key: undefined,
  tokenLifeMs: 60_000,
  tls: undefined,
};

/** The part that says who we are. @throws ConfigError where there are two keys */
export function serviceKeyOf(
  program: string,
  { SERVICE_KEY_FILE: file, SERVICE_KEY: text, SERVICE_TOKEN_TTL: tokenLifeMs }: KeyVariables,
): Pick<ServiceTrustConfig, 'key' | 'tokenLifeMs'> {
  if (file !== undefined && text !== undefined)
    throw new ConfigError(program, [{ variable: 'SERVICE_KEY', message: 'must not be set beside SERVICE_KEY_FILE' }]);
  return { key: file !== undefined ? { file } : text !== undefined ? { text } : undefined, tokenLifeMs };
}

/** The part that makes gRPC TLS. @throws ConfigError naming what is missing beside the others */
export function grpcTlsOf(program: string, told: TlsVariables): TlsFiles | undefined {
  const { GRPC_TLS_CERT_FILE: certFile, GRPC_TLS_KEY_FILE: keyFile, GRPC_TLS_CA_FILE: caFile } = told;
  if (certFile !== undefined && keyFile !== undefined && caFile !== undefined) return { certFile, keyFile, caFile };
  const all = { GRPC_TLS_CERT_FILE: certFile, GRPC_TLS_KEY_FILE: keyFile, GRPC_TLS_CA_FILE: caFile };
  const unset = Object.entries(all).filter(([, path]) => path === undefined);
  if (unset.length === 3) return undefined;
  const message = 'is required with the other two of GRPC_TLS_*';
  throw new ConfigError(
    program,
    unset.map(([variable]) => ({ variable, message })),
  );
}

/** @throws ConfigError naming a variable that does not fit the others. */
export function serviceTrustConfig(program: string, told: Variables): ServiceTrustConfig {
  const { SERVICE_TRUST: mode, SERVICE_TRUST_FILE: trustFile, SERVICE_API_CALLERS: apiCallers } = told;
  if (mode === 'off' && apiCallers.length > 0) {
    const message = 'needs SERVICE_TRUST=report or enforce: without, nobody is asked who calls';
    throw new ConfigError(program, [{ variable: 'SERVICE_API_CALLERS', message }]);
  }
  if (mode !== 'off' && trustFile === undefined) {
    const message = `is required with SERVICE_TRUST=${mode}`;
    throw new ConfigError(program, [{ variable: 'SERVICE_TRUST_FILE', message }]);
  }
  return { mode, trustFile, apiCallers, ...serviceKeyOf(program, told), tls: grpcTlsOf(program, told) };
}
