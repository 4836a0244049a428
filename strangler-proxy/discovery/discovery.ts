/** One instance of a service that is there. */
export type DiscoveredInstance = {
  /** Unique among all instances: the Consul service id, or the origin itself. */
  id: string;
  /** `http://127.0.0.1:3101`, without a trailing slash. */
  origin: string;
  /** Whether its checks pass. One whose checks do not may be at work all the same, only too slow to answer them. */
  passing: boolean;
};

/** Finds the instances of services, and tells when they change. */
export type Discovery = {
  /**
   * Calls `onInstances` with all instances as soon as they are known, and again with each change; an empty list says
   * that there are none. Not called after `close()`. What is known stays in use while its source is away.
   */
  watch(service: string, onInstances: (instances: DiscoveredInstance[]) => void): Watch;
  /** One entry a watched service. */
  status(): DiscoveryStatus[];
};

export type Watch = { close(): void };

export type DiscoveryStatus = {
  service: string;
  /** Where the instances in use were learnt: `disk` is what an earlier run of this process knew. */
  source: 'configuration' | 'consul' | 'disk' | 'nowhere';
  instances: DiscoveredInstance[];
  /** How long the source has been away, so how old the list may be; 0 while it answers. */
  staleForMs: number;
  /** Instances that were announced and not accepted, by what was wrong with them, since the watch began. */
  refused: { outsideAllowedNetworks: number; badAddress: number };
};
