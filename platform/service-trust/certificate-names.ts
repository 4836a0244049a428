import type { PeerCertificate } from 'node:tls';

/**
 * The services that a certificate stands for, by its subject alternative names: a DNS name is a service's name as it is, and
 * `spiffe://any.domain/any/path/NAME` is NAME. The common name says nothing.
 */
export function certificateNames({ subjectaltname = '' }: Pick<PeerCertificate, 'subjectaltname'>): string[] {
  const names = subjectaltname.split(', ').flatMap((entry) => {
    const dns = /^DNS:([a-z][a-z0-9-]{0,62})$/.exec(entry)?.[1];
    // Node quotes a name in which there is anything that could be taken for another entry; such a one is none of ours.
    const spiffe = /^URI:spiffe:\/\/[a-z0-9.-]{1,255}(?:\/[A-Za-z0-9._-]{1,63}){0,8}\/([a-z][a-z0-9-]{0,62})$/.exec(
      entry,
    )?.[1];
    return dns ?? spiffe ?? [];
  });
  return [...new Set(names)];
}
