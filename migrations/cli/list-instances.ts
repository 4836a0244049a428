import type { ConsulClient } from '@strangler/platform/consul/client.ts';

type WireService = { Service: { ID: string; Meta: Record<string, string> | null } };

/** The passing instances of a service, asked once. */
export const listInstances = async (
  consul: ConsulClient,
  service: string,
): Promise<{ id: string; meta: Record<string, string> }[]> => {
  const found: unknown = await consul.connection.call(`list ${service}`, 'read', (client, wire) =>
    client.health.service({ service, passing: true, ...wire }),
  );
  return (found as WireService[]).map(({ Service }) => ({ id: Service.ID, meta: Service.Meta ?? {} }));
};
