import { z } from 'zod';
import { ConfigError, type ConfigProblem, durationMs } from '../config.ts';
import { type TrustMode, trustModes } from './admission.ts';
import type { TlsFiles } from './tls.ts';
import { mostTokenLifeMs } from './token-verifier.ts';

/** To be spread into a program's schema. docs/service-trust.md says what each is for. */
export const serviceTrustVariables = {
  /** What is done with calls whose caller has not proven to be one that may make them. Needs SERVICE_TRUST_FILE. */
  SERVICE_TRUST: z.enum(trustModes).default('off'),
  /** Who may call whom, and with which public keys. */
  SERVICE_TRUST_FILE: z.string().min(1).optional(),
  /** This service's own keys; with them its calls to others carry tokens, whatever SERVICE_TRUST says. */
  SERVICE_KEY_FILE: z.string().min(1).optional(),
  /** The same as a text, where there is no file; to change it needs a restart. */
  SERVICE_KEY: z.string().min(1).optional(),
  /** How long a token is good for. */
  SERVICE_TOKEN_TTL: durationMs({ min: 5_000, max: mostTokenLifeMs }).default(60_000),
  /** PEM files; with all three, gRPC is TLS in which both sides show a certificate. */
  GRPC_TLS_CERT_FILE: z.string().min(1).optional(),
  GRPC_TLS_KEY_FILE: z.string().min(1).optional(),
  GRPC_TLS_CA_FILE: z.string().min(1).optional(),
};

type Variables = z.infer<z.ZodObject<typeof serviceTrustVariables>>;

export type ServiceTrustConfig = {
  mode: TrustMode;
  trustFile: string | undefined;
  key: { file: string } | { text: string } | undefined;
  tokenLifeMs: number;
  tls: TlsFiles | undefined;
};

/** Nobody is asked who calls, and nothing says who we are. */
export const noServiceTrust: ServiceTrustConfig = {
  mode: 'off',
  trustFile: undefined,
  key: undefined,
  tokenLifeMs: 60_000,
  tls: undefined,
};

/** @throws ConfigError naming every variable that does not fit the others. */
export function serviceTrustConfig(program: string, told: Variables): ServiceTrustConfig {
  const { SERVICE_TRUST: mode, SERVICE_TRUST_FILE: trustFile, SERVICE_KEY_FILE: file, SERVICE_KEY: text } = told;
  const { GRPC_TLS_CERT_FILE: certFile, GRPC_TLS_KEY_FILE: keyFile, GRPC_TLS_CA_FILE: caFile } = told;
  const problems: ConfigProblem[] = [];
  if (mode !== 'off' && trustFile === undefined)
    problems.push({ variable: 'SERVICE_TRUST_FILE', message: `is required with SERVICE_TRUST=${mode}` });
  if (file !== undefined && text !== undefined)
    problems.push({ variable: 'SERVICE_KEY', message: 'must not be set beside SERVICE_KEY_FILE' });
  const tlsFiles = { GRPC_TLS_CERT_FILE: certFile, GRPC_TLS_KEY_FILE: keyFile, GRPC_TLS_CA_FILE: caFile };
  const unset = Object.entries(tlsFiles).filter(([, path]) => path === undefined);
  if (unset.length === 1 || unset.length === 2)
    for (const [variable] of unset)
      problems.push({ variable, message: 'is required with the other two of GRPC_TLS_*' });
  if (problems.length > 0) throw new ConfigError(program, problems);
  const tls =
    certFile === undefined || keyFile === undefined || caFile === undefined ? undefined : { certFile, keyFile, caFile };
  const key = file !== undefined ? { file } : text !== undefined ? { text } : undefined;
  return { mode, trustFile, key, tokenLifeMs: told.SERVICE_TOKEN_TTL, tls };
}
