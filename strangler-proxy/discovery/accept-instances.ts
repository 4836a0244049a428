import { type AllowedNetworks, plainAddress } from './allowed-networks.ts';
import type { DiscoveredInstance } from './discovery.ts';

/** An instance as a catalogue announces it. */
export type AnnouncedInstance = { id: string; address: string; port: number; passing: boolean };

export type RefusedInstance = AnnouncedInstance & { why: 'outside-allowed-networks' | 'bad-address' };

/**
 * Keeps the instances that the proxy may connect to. Whoever can write to the catalogue could otherwise send it, and the
 * cookies and tokens it carries, to any address (server-side request forgery). An address must be digits: what a name
 * stands for could change after it was looked at.
 */
export function acceptInstances(
  announced: readonly AnnouncedInstance[],
  networks: AllowedNetworks,
): { accepted: DiscoveredInstance[]; refused: RefusedInstance[] } {
  const accepted: DiscoveredInstance[] = [];
  const refused: RefusedInstance[] = [];
  for (const instance of announced) {
    const { id, address, port, passing } = instance;
    const version = plainAddress(address);
    if (id === '' || version === 0 || !Number.isInteger(port) || port < 1 || port > 65_535) {
      refused.push({ ...instance, why: 'bad-address' });
    } else if (!networks.allows(address)) {
      refused.push({ ...instance, why: 'outside-allowed-networks' });
    } else {
      accepted.push({ id, origin: `http://${version === 6 ? `[${address}]` : address}:${port}`, passing });
    }
  }
  return { accepted, refused };
}

/** What to tell an operator of a refused instance. */
export function explainRefusal({ why, id, address, port }: RefusedInstance): string {
  return why === 'bad-address'
    ? `instance ${id} is not used: expected an IP address in digits and a port from 1 to 65535, found "${address}" port ${port}; register it with its IP address`
    : `instance ${id} is not used: its address ${address} lies outside the allowed networks; add its network to them if it is yours, and find out who registered it if it is not`;
}
