import { type Refusal, refuseAndClose } from './refusal.ts';
import type { RequestHead } from './request-head.ts';
import type { Target } from './target.ts';

// uri-host [ ":" port ] of RFC 3986 §3.2.2, without the percent-encoding that no resolver takes; empty is allowed.
const hostAndPort = /^(?:[A-Za-z0-9\-._~!$&'()*+;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/;

const badHost = (detail: string) => refuseAndClose('host', 400, 'Invalid Host', detail);

/**
 * Refuses a request that names no host, several hosts, or something that is no host (RFC 9112 §3.2), and one whose
 * absolute-form target names another host than its Host header: caches and routers would not agree whose it is.
 */
export function hostRefusal(head: RequestHead, target: Target): Refusal | null {
  const { hosts } = head;
  if (hosts.length > 1) return badHost('Expected one Host header, found several.');
  if (hosts.length === 0) {
    return head.httpVersion === '1.0' ? null : badHost('Expected a Host header, found none.');
  }
  const host = hosts[0]!;
  if (!hostAndPort.test(host)) return badHost('Expected Host to be a host with an optional port.');
  if (target.authority !== null && target.authority !== host.toLowerCase()) {
    return badHost("Expected Host to be the same as the request target's authority.");
  }
  return null;
}

/**
 * The head with the Host that its absolute-form target names, where it has none of its own (RFC 9112 §3.2.2): an HTTP/1.0
 * client need not send one. Without it the upstream would be told its own address instead.
 */
export function withHostOfTarget(head: RequestHead, { authority }: Target): RequestHead {
  if (authority === null || head.hosts.length > 0) return head;
  return {
    ...head,
    raw: [...head.raw, 'Host', authority],
    names: [...head.names, 'host'],
    hosts: [authority],
  };
}
