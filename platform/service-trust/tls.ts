import { createPrivateKey, X509Certificate } from 'node:crypto';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import { type ChannelCredentials, experimental, type ServerCredentials } from '@grpc/grpc-js';
import type { Log } from '../log.ts';
import { certificateNames } from './certificate-names.ts';
import { followFiles } from './followed-files.ts';

export type TlsFiles = { certFile: string; keyFile: string; caFile: string };

/** TLS for gRPC in which both sides show a certificate, read anew when its files change. */
export type GrpcTls = {
  /** For servers: a client without a certificate of our authority gets no connection. */
  server: ServerCredentials;
  /** For clients of this service: its certificate must be in that name, at whatever address it is. */
  clientOf(service: string): ChannelCredentials;
  /** When the certificate in use is over, in seconds since the epoch. */
  expiresAtS(): number;
  stop(): void;
};

type Certificates = { cert: Buffer; key: Buffer; ca: Buffer };
type Provider = experimental.CertificateProvider;

/**
 * A connection that is open goes on with the certificate that it began with, and each new one has the latest, so that nothing is cut
 * when a certificate is renewed. Files that do not fit each other, as in the middle of a renewal, are passed over.
 *
 * grpc-js has this under `experimental`. Its own watcher of files is not used: it takes a pair as it finds it, half renewed or
 * gone, and a server without one takes no connections.
 */
export async function followTls(
  { certFile, keyFile, caFile }: TlsFiles,
  { log, everyMs, onOutcome }: { log: Log; everyMs?: number; onOutcome?: (outcome: 'loaded' | 'refused') => void },
): Promise<GrpcTls> {
  const listeners = new Set<(certificates: Certificates) => void>();
  const files = await followFiles<Certificates>({
    paths: [certFile, keyFile, caFile],
    name: 'the certificates',
    log,
    read: ([cert = '', key = '', ca = '']) => checkedCertificates({ cert, key, ca }, { certFile, keyFile, caFile }),
    onChange: (certificates) => {
      for (const tell of listeners) tell(certificates);
    },
    ...(everyMs === undefined ? {} : { everyMs }),
    ...(onOutcome === undefined ? {} : { onOutcome }),
  });
  const provider = createProvider(files.now, listeners);
  return {
    server: experimental.createCertificateProviderServerCredentials(provider, provider, true),
    clientOf: (service) =>
      experimental.createCertificateProviderChannelCredentials(provider, provider, {
        checkServerIdentity: (_host, certificate) =>
          certificateNames(certificate).includes(service)
            ? undefined
            : (checkServerIdentity(service, certificate) ?? new Error(`expected a certificate of ${service}`)),
      }),
    expiresAtS: () => Date.parse(new X509Certificate(files.now().cert).validTo) / 1_000,
    stop: () => files.stop(),
  };
}

function createProvider(now: () => Certificates, listeners: Set<(certificates: Certificates) => void>): Provider {
  const wrapped = new Map<unknown, (certificates: Certificates) => void>();
  const add = (listener: unknown, tell: (certificates: Certificates) => void): void => {
    wrapped.set(listener, tell);
    listeners.add(tell);
    // Whoever listens is not ready to hear until it has returned from saying so.
    process.nextTick(() => {
      if (listeners.has(tell)) tell(now());
    });
  };
  const remove = (listener: unknown): void => {
    const tell = wrapped.get(listener);
    wrapped.delete(listener);
    if (tell !== undefined) listeners.delete(tell);
  };
  return {
    addCaCertificateListener: (listener) => add(listener, ({ ca }) => listener({ caCertificate: ca })),
    removeCaCertificateListener: remove,
    addIdentityCertificateListener: (listener) =>
      add(listener, ({ cert, key }) => listener({ certificate: cert, privateKey: key })),
    removeIdentityCertificateListener: remove,
  };
}

/** @throws Error that names the file, and shows nothing of the key. */
function checkedCertificates(texts: { cert: string; key: string; ca: string }, files: TlsFiles): Certificates {
  const { cert, key, ca } = texts;
  const certificate = of(files.certFile, 'a certificate in PEM', () => new X509Certificate(cert));
  of(files.caFile, 'certificates of authorities in PEM', () => new X509Certificate(ca));
  const privateKey = of(files.keyFile, 'a private key in PEM', () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(`${files.keyFile}: expected the key of the certificate in ${files.certFile}, found another one`);
  }
  of(files.certFile, 'certificates that TLS can use', () => createSecureContext({ cert, key, ca }));
  return { cert: Buffer.from(cert), key: Buffer.from(key), ca: Buffer.from(ca) };
}

function of<T>(path: string, expected: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${path}: expected ${expected}, found ${(error as NodeJS.ErrnoException).code ?? 'none'}`);
  }
}
