/** One thing that has changed, as those who look on are told of it. */
export type FeedEvent = { id: string; kind: string; json: string };

export type FeedBounds = {
  /** Events that are kept for those who come back. */
  maxEvents: number;
  /** Of their JSON together. */
  maxBytes: number;
};

export type Feed = {
  publish(kind: string, value: unknown): void;
  /** What came after an event, oldest first; null where that cannot be told any more, and everything must be told anew. */
  since(lastId: string): FeedEvent[] | null;
  lastId(): string;
  /** Told of every event from now on, until the returned function is called. */
  subscribe(listener: (event: FeedEvent) => void): () => void;
  listeners(): number;
};

/**
 * Events in order, the newest of them kept. `life` names this feed and no other: an id of another process's feed means
 * nothing here, however alike their counts are.
 */
export const createFeed = ({ maxEvents, maxBytes }: FeedBounds, life: string = crypto.randomUUID()): Feed => {
  const kept: FeedEvent[] = [];
  const listeners = new Set<(event: FeedEvent) => void>();
  let bytes = 0;
  let count = 0;

  const idOf = (n: number): string => `${life}:${n}`;
  return {
    publish(kind, value) {
      count += 1;
      const event = { id: idOf(count), kind, json: JSON.stringify(value) };
      kept.push(event);
      bytes += event.json.length;
      while (kept.length > maxEvents || bytes > maxBytes) bytes -= kept.shift()!.json.length;
      for (const listener of [...listeners]) listener(event);
    },
    since(lastId) {
      const cut = lastId.lastIndexOf(':');
      const number = /^\d{1,15}$/.test(lastId.slice(cut + 1)) ? Number(lastId.slice(cut + 1)) : -1;
      if (lastId.slice(0, cut) !== life || number < 0 || number > count) return null;
      const missed = count - number;
      return missed > kept.length ? null : kept.slice(kept.length - missed);
    },
    lastId: () => idOf(count),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    listeners: () => listeners.size,
  };
};

/** As `text/event-stream` has it. JSON holds no line break, so one line of data is enough. */
export const eventText = ({ id, kind, json }: FeedEvent): string => `id: ${id}\nevent: ${kind}\ndata: ${json}\n\n`;
