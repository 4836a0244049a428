import { z } from 'zod';
import { allowNetworks } from '../../discovery/allowed-networks.ts';
import { policyKind } from '../kind.ts';
import { type Policy, pass, type Refuse } from '../policy.ts';

/** A list of networks in CIDR. */
export const networks = z
  .array(z.string())
  .max(10_000)
  .superRefine((all, context) => {
    for (const [index, network] of all.entries()) {
      try {
        allowNetworks([network]);
      } catch {
        context.addIssue({
          code: 'custom',
          path: [index],
          message: `must be CIDR such as 10.0.0.0/8 or fc00::/7, found "${network}"`,
        });
      }
    }
  });

const schema = z
  .strictObject({
    allow: networks.optional().describe('Networks whose clients pass. Default: all.'),
    deny: networks
      .default([])
      .describe('Networks whose clients are refused, also where `allow` has them. Default: none.'),
  })
  .describe('Refuses clients by their address, 403.');

const refusal: Refuse = Object.freeze({
  kind: 'refuse',
  status: 403,
  title: 'Forbidden',
  detail: 'This address may not ask for this.',
  headers: {},
});

/** Whether a client's address passes: in `allow` where there is such a list, and not in `deny`. What is no address never passes. */
export const admitsAddress = ({ allow, deny }: { allow?: readonly string[] | undefined; deny: readonly string[] }) => {
  const allowed = allowNetworks(allow ?? ['0.0.0.0/0', '::/0']);
  const denied = allowNetworks(deny);
  return (address: string): boolean => allowed.allows(address) && !denied.allows(address);
};

/** By the client's address as the edge knows it: the peer's, or what a peer of `TRUSTED_PEERS` says. */
export const ip = policyKind({
  schema,
  create(name, config): Policy {
    const admits = admitsAddress(config);
    return { name, check: ({ facts }) => (admits(facts.clientAddress) ? pass : refusal) };
  },
});
