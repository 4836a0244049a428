import { z } from 'zod';

/**
 * How proxies answer a hold. The flag document with `owner: 'held'` is the question; each proxy that is alive answers it
 * with an acknowledgement, a key that its Consul session holds and that goes with the session.
 *
 * Who moves ownership must, in this order: write the hold; then list `<root>/proxies/` (consistently), as often as it looks;
 * then wait until each proxy listed has an acknowledgement of that change, held by the same session. A proxy puts its own key
 * in place before it reads the flags that it starts with, so one that is not listed after the hold was written has read
 * the hold, or will. That a proxy is missing proves nothing while Consul has just lost its sessions, so the list must also be
 * held against the proxies that are registered.
 */
export const holdKeys = (root = 'strangler') => ({
  /** Every proxy that is alive, by its id. */
  proxies: `${root}/proxies/`,
  proxy: (id: string): string => `${root}/proxies/${id}`,
  /** Acknowledgements of the slice's hold, by the proxy's id. */
  acks: (slice: string): string => `${root}/acks/${slice}/`,
  ack: (slice: string, id: string): string => `${root}/acks/${slice}/${id}`,
});

/** What a live proxy says of itself at `<root>/proxies/<id>`. */
export const liveProxySchema = z.object({
  id: z.string(),
  /** The address of its admin port. */
  admin: z.string(),
  host: z.string(),
  pid: z.int(),
  at: z.iso.datetime(),
});
export type LiveProxy = z.infer<typeof liveProxySchema>;

/** What stands at `<root>/acks/<slice>/<proxy id>`: no worker of the proxy sends a write of the slice, nor has one under way. */
export const holdAckSchema = z.object({
  /** The epoch of the flag document that is obeyed. */
  epoch: z.int().min(1),
  /** `change.id` of that document: two holds may have one epoch. */
  changeId: z.string(),
  workers: z.int().min(1),
  /** Writes that waited when the workers said so. */
  heldNow: z.int().min(0),
  at: z.iso.datetime(),
});
export type HoldAck = z.infer<typeof holdAckSchema>;
