import { BlockList, isIP } from 'node:net';

/** Which addresses the proxy may be sent to by what it reads in a catalogue that others write. */
export type AllowedNetworks = {
  /** Whether the address, written as IPv4 or IPv6 digits, lies in one of the networks. A name is never allowed. */
  allows(address: string): boolean;
};

/**
 * This machine and private networks (RFC 1918, RFC 4193). Link-local addresses are not among them: 169.254.169.254
 * is where clouds hand out credentials.
 */
export const privateNetworks: readonly string[] = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '::1/128',
  'fc00::/7',
];

/** Throws RangeError naming every network that is not written as `10.0.0.0/8` or `fc00::/7`. */
export function allowNetworks(networks: readonly string[] = privateNetworks): AllowedNetworks {
  const list = new BlockList();
  const bad = networks.filter((network) => !add(list, network));
  if (bad.length > 0) {
    throw new RangeError(
      `Allowed networks: expected CIDR such as 10.0.0.0/8 or fc00::/7, found ${bad.map((one) => `"${one}"`).join(', ')}`,
    );
  }
  return {
    allows(address) {
      const version = plainAddress(address);
      return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6');
    },
  };
}

/** 4 or 6 for an IP address in digits, without a zone; 0 for everything else, host names included. */
export function plainAddress(address: string): 0 | 4 | 6 {
  return address.includes('%') ? 0 : (isIP(address) as 0 | 4 | 6);
}

function add(list: BlockList, network: string): boolean {
  const match = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(network);
  if (match === null) return false;
  const [, base = '', prefixText = ''] = match;
  const version = plainAddress(base);
  const prefix = Number(prefixText);
  if (version === 0 || prefix > (version === 4 ? 32 : 128)) return false;
  list.addSubnet(base, prefix, version === 4 ? 'ipv4' : 'ipv6');
  return true;
}
