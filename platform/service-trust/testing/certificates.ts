import { execFile } from 'node:child_process';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TlsFiles } from '../tls.ts';

const run = promisify(execFile);

/** An authority of a test's own, made by the `openssl` of the machine. */
export type TestAuthority = {
  caFile: string;
  /** A new certificate with these subject alternative names, such as `DNS:shop`, in the folder of that name; replaces one that is there. */
  issue(folder: string, names: string): Promise<TlsFiles>;
};

export async function makeAuthority(folder: string): Promise<TestAuthority> {
  await mkdir(folder, { recursive: true });
  const caFile = join(folder, 'ca.pem');
  const caKey = join(folder, 'ca.key');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await run('openssl', [
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    caKey,
    '-out',
    caFile,
    '-subj',
    '/CN=test',
    '-days',
    '2',
  ]);
  let serial = 0;
  return {
    caFile,
    async issue(name, names) {
      serial += 1;
      const place = join(folder, name);
      await mkdir(place, { recursive: true });
      const files = { certFile: join(place, 'cert.pem'), keyFile: join(place, 'key.pem'), caFile };
      const fresh = (path: string) => `${path}.${serial}`;
      const request = join(place, 'request.pem');
      const extensions = join(place, 'extensions');
      await writeFile(extensions, `subjectAltName=${names}\n`);
      await run('openssl', [
        'req',
        ...newKey,
        '-keyout',
        fresh(files.keyFile),
        '-out',
        request,
        '-subj',
        `/CN=${name}`,
      ]);
      const signed = [
        '-in',
        request,
        '-CA',
        caFile,
        '-CAkey',
        caKey,
        '-set_serial',
        `${serial}`,
        '-extfile',
        extensions,
      ];
      await run('openssl', ['x509', '-req', ...signed, '-out', fresh(files.certFile), '-days', '1']);
      // One after the other, as who renews certificates does: in between, the two do not fit.
      await rename(fresh(files.keyFile), files.keyFile);
      await rename(fresh(files.certFile), files.certFile);
      return files;
    },
  };
}
