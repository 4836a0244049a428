import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { type ConsulSession, createSession } from '@strangler/platform/consul/session.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { type HoldAck, holdKeys, type LiveProxy } from '@strangler/platform/contracts/hold-ack.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';

/** What stands for a proxy: alive by a Consul session, and answers holds as the contract says. */
export type ProxyStandIn = {
  id: string;
  session: ConsulSession;
  /** While false it answers no hold. */
  answers: boolean;
  /** What its admin port tells; undefined: nothing. */
  status: ProxyStatus | undefined;
  /** Lets go of its session, and of what that holds. */
  end(): Promise<void>;
};

export async function startProxyStandIn(options: {
  id: string;
  slice: string;
  consul: ConsulClient;
  root: string;
  store: FlagStore;
}): Promise<ProxyStandIn> {
  const { id, slice, consul, root, store } = options;
  const keys = holdKeys(root);
  const session = await createSession(consul, { name: id, ttlMs: 10_000, behavior: 'delete', lost: () => {} });
  const admin = http.createServer((_request, response) => {
    response.statusCode = standIn.status === undefined ? 503 : 200;
    response.end(JSON.stringify(standIn.status ?? {}));
  });
  await new Promise<void>((resolve) => admin.listen(0, '127.0.0.1', resolve));
  const live: LiveProxy = {
    id,
    admin: `http://127.0.0.1:${(admin.address() as AddressInfo).port}`,
    host: 'here',
    pid: process.pid,
    at: new Date().toISOString(),
  };
  if (!(await consul.kv.put(keys.proxy(id), JSON.stringify(live), { acquire: session.id }))) {
    throw new Error(`${id}: its key is another's`);
  }
  const stopping = new AbortController();
  const standIn: ProxyStandIn = {
    id,
    session,
    answers: true,
    status: undefined,
    async end() {
      stopping.abort();
      admin.closeAllConnections();
      admin.close();
      await session.destroy();
    },
  };
  const obey = async ({ writes, epoch, change }: FlagDocument): Promise<void> => {
    if (writes.owner !== 'held') {
      await consul.kv.delete(keys.ack(slice, id));
      return;
    }
    if (!standIn.answers) return;
    const ack: HoldAck = { epoch, changeId: change.id, workers: 1, heldNow: 0, at: new Date().toISOString() };
    await consul.kv.put(keys.ack(slice, id), JSON.stringify(ack), { acquire: session.id });
  };
  let last: Promise<unknown> = Promise.resolve();
  store.watch(
    {
      onChange({ flags }) {
        const document = flags.get(slice)?.document;
        if (document !== undefined) last = last.then(() => obey(document)).catch(() => {});
      },
      onError() {},
    },
    stopping.signal,
  );
  return standIn;
}
