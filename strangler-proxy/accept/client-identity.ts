import { BlockList, isIP, type Socket } from 'node:net';
import { firstOf, listOf, type RequestHead } from './request-head.ts';

/** Who sent the request, by what the edge itself knows, and how that is told to the upstream. */
export type ClientIdentity = {
  /** The client's address: the peer's, or what a trusted peer says of it. */
  clientAddress: string;
  forwardedFor: string;
  forwardedProto: string;
  forwardedHost: string;
  /** RFC 7239. */
  forwarded: string;
};

/** Tells whether a peer's address belongs to a proxy in front of this one, whose word is taken. */
export type TrustsPeer = (address: string) => boolean;

type Peer = { address: string; trusted: boolean; proto: 'http' | 'https' };

const peerOfSocket = Symbol('peer');
type KnownSocket = Socket & { [peerOfSocket]?: Peer; encrypted?: boolean };

/** Headers by which a client's identity is claimed: dropped, unless a trusted peer sent them, and then written anew. */
export const identityHeaderNames: ReadonlySet<string> = new Set(['forwarded', 'x-real-ip']);
export const identityHeaderPrefix = 'x-forwarded-';

/**
 * Makes the rule for trusting peers from a list like `10.0.0.0/8, ::1`.
 * Throws an Error naming the first entry that is neither an address nor a CIDR range.
 */
export function trustPeers(ranges: readonly string[]): TrustsPeer {
  if (ranges.length === 0) return () => false;
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix, ...rest] = range.trim().split('/');
    const version = isIP(address);
    const bits = prefix === undefined ? (version === 6 ? 128 : 32) : Number(prefix);
    if (version === 0 || rest.length > 0 || !Number.isInteger(bits) || bits < 0 || bits > (version === 6 ? 128 : 32)) {
      throw new Error(`Trusted peers: expected an address or a CIDR range such as 10.0.0.0/8, found "${range}".`);
    }
    list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4');
  }
  return (address) => {
    const version = isIP(address);
    return version !== 0 && list.check(address, version === 6 ? 'ipv6' : 'ipv4');
  };
}

/** The client as the edge sees it. What a peer claims about others counts only if the peer is trusted. */
export function clientIdentity(socket: Socket, head: RequestHead, trusts: TrustsPeer): ClientIdentity {
  const peer = peerOf(socket, trusts);
  const host = head.hosts[0] ?? '';
  const hop = `for=${quoted(peer.address)}${host === '' ? '' : `;host="${host}"`};proto=${peer.proto}`;
  if (!peer.trusted) {
    return {
      clientAddress: peer.address,
      forwardedFor: peer.address,
      forwardedProto: peer.proto,
      forwardedHost: host,
      forwarded: hop,
    };
  }
  const chain = listOf(head, 'x-forwarded-for');
  const before = listOf(head, 'forwarded');
  return {
    clientAddress: nearestUntrusted(chain, peer.address, trusts),
    forwardedFor: chain === undefined ? peer.address : `${chain}, ${peer.address}`,
    forwardedProto: firstOf(head, 'x-forwarded-proto') ?? peer.proto,
    forwardedHost: firstOf(head, 'x-forwarded-host') ?? host,
    forwarded: before === undefined ? hop : `${before}, ${hop}`,
  };
}

/** Walks the chain from the nearest hop outwards and stops at the first address that is not one of ours. */
function nearestUntrusted(chain: string | undefined, peerAddress: string, trusts: TrustsPeer): string {
  let client = peerAddress;
  if (chain === undefined) return client;
  const hops = chain.split(',');
  for (let i = hops.length - 1; i >= 0; i--) {
    const address = plainAddress(hops[i]!.trim());
    if (isIP(address) === 0) return client;
    client = address;
    if (!trusts(address)) return client;
  }
  return client;
}

function peerOf(socket: KnownSocket, trusts: TrustsPeer): Peer {
  const known = socket[peerOfSocket];
  if (known !== undefined) return known;
  const address = plainAddress(socket.remoteAddress ?? '');
  const peer: Peer = { address, trusted: trusts(address), proto: socket.encrypted === true ? 'https' : 'http' };
  socket[peerOfSocket] = peer;
  return peer;
}

/** An IPv4 address that a dual-stack socket reports as `::ffff:a.b.c.d` is the IPv4 address. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

function quoted(address: string): string {
  if (address === '') return 'unknown';
  return address.includes(':') ? `"[${address}]"` : address;
}
