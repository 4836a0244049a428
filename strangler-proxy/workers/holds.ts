import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import type { ConsulSession } from '@strangler/platform/consul/session.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type Agreement, createAgreement } from '../hold/agreement.ts';
import { keepMembership, type Membership } from '../hold/membership.ts';
import { sharedNowMs, type ToWorker } from './messages.ts';

export type HoldsOptions = {
  id: string;
  /** Where this proxy's admin port is. */
  admin: string;
  token: string | null;
  log: Log;
  tellWorkers(message: ToWorker): void;
};

/** The primary's part in holds: what the workers agree on, and what Consul knows of it. */
export type Holds = {
  /** Resolves when Consul knows this proxy, or cannot be told at the moment. */
  ready: Promise<unknown>;
  agreement: Agreement;
  standing(): ToWorker;
  membership(): NonNullable<ProxyStatus['membership']>;
  acknowledged(): NonNullable<ProxyStatus['acknowledged']>;
  /** What stands in Consul under this proxy's session goes through these; null where flags are not in Consul. */
  member: { consul: ConsulClient; store: FlagStore; root: string; session(): ConsulSession | null } | null;
  stop(): Promise<void>;
};

const tellEveryMs = 1_000;
/** A start does not wait for a Consul that does not answer; until it does, this proxy counts as cut off. */
const startWithinMs = 3_000;

/** `flagStore` is the address of the flags; null where no slice is claimed or no flags are followed. */
export const followHolds = (flagStore: string | null, options: HoldsOptions): Holds => {
  const { id, admin, token, log, tellWorkers } = options;
  const floor = new Map<string, number>();
  let membership: Membership | null = null;

  const standing = (): ToWorker => ({
    kind: 'standing',
    untilMs: membership === null ? null : sharedNowMs() + membership.leftMs(),
    floor: [...floor],
  });
  const raise = (slice: string, epoch: number): void => {
    floor.set(slice, Math.max(epoch, floor.get(slice) ?? 0));
  };
  const agreement = createAgreement((agreed) => {
    // Before Consul hears of it: a worker that starts from now on must know at least as much.
    for (const [slice, { epoch }] of agreed) raise(slice, epoch);
    membership?.acknowledge(agreed);
  });

  const opened = flagStore === null ? null : openFlagStore(flagStore, { log, ...(token === null ? {} : { token }) });
  if (opened?.consul != null) {
    membership = keepMembership({
      consul: opened.consul,
      store: opened.store,
      root: opened.root!,
      id,
      admin,
      log,
      onChange: () => tellWorkers(standing()),
      onEpoch: raise,
    });
  }
  const stopping = new AbortController();
  const ready = Promise.race([membership?.tried, pause(startWithinMs, stopping.signal)]);
  const telling = membership === null ? undefined : setInterval(() => tellWorkers(standing()), tellEveryMs);

  return {
    ready,
    agreement,
    standing,
    membership: () => (membership === null ? 'none' : membership.leftMs() > 0 ? 'member' : 'cut-off'),
    acknowledged: () => [...agreement.agreed()].map(([slice, { epoch, changeId }]) => ({ slice, epoch, changeId })),
    member:
      opened?.consul == null
        ? null
        : {
            consul: opened.consul,
            store: opened.store,
            root: opened.root!,
            session: () => membership?.session() ?? null,
          },
    async stop() {
      stopping.abort();
      clearInterval(telling);
      await membership?.leave();
      opened?.close();
    },
  };
};
