import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Log } from '@strangler/platform/log.ts';
import { followFiles } from '@strangler/platform/service-trust/followed-files.ts';

/** The server's certificate, with those between it and its authority, and the private key; PEM. */
export type ServerCertificate = { cert: string; key: string };

export type ServerCertificateFiles = { certFile: string; keyFile: string };

export type FollowedCertificate = {
  now(): ServerCertificate;
  reload(): Promise<void>;
  stop(): void;
};

/**
 * Reads a server's certificate and follows its files: connections that are open go on with the one they began with, and each new
 * one gets the latest. Files that do not fit each other, as in the middle of a renewal, are passed over.
 * @throws Error naming the file that is not good, the first time.
 */
export const followServerCertificate = async (
  files: ServerCertificateFiles,
  {
    log,
    onChange,
    onOutcome,
  }: {
    log: Log;
    onChange(certificate: ServerCertificate): void;
    onOutcome(outcome: 'loaded' | 'refused'): void;
  },
): Promise<FollowedCertificate> => {
  const followed = await followFiles({
    paths: [files.certFile, files.keyFile],
    name: "the server's certificate",
    log,
    read: ([cert = '', key = '']) => checked({ cert, key }, files),
    onChange,
    onOutcome,
  });
  return { now: followed.now, reload: followed.refresh, stop: followed.stop };
};

/** @throws Error naming the file that is not good. */
export const checkServerCertificate = (files: ServerCertificateFiles): void => {
  const read = (file: string): string => reading(file, 'a file in PEM', () => readFileSync(file, 'utf8'));
  checked({ cert: read(files.certFile), key: read(files.keyFile) }, files);
};

const checked = (pair: ServerCertificate, { certFile, keyFile }: ServerCertificateFiles): ServerCertificate => {
  const { cert, key } = pair;
  const certificate = reading(certFile, 'a certificate in PEM', () => new X509Certificate(cert));
  const privateKey = reading(keyFile, 'a private key in PEM', () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(`${keyFile}: expected the key of the certificate in ${certFile}, found another one`);
  }
  if (certificate.validToDate.getTime() <= Date.now()) {
    throw new Error(
      `${certFile}: expected a certificate that is still good, found one that ended ${certificate.validTo}`,
    );
  }
  reading(certFile, 'a certificate that TLS can use', () => createSecureContext(pair));
  return pair;
};

/** What went wrong is not repeated: it may quote a private key. */
const reading = <T>(file: string, expected: string, read: () => T): T => {
  try {
    return read();
  } catch (error) {
    throw new Error(`${file}: expected ${expected}, found ${(error as NodeJS.ErrnoException).code ?? 'none'}`);
  }
};
