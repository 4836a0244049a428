import type { Visit, Visitor } from './visitor.ts';

/** Shoppers who keep coming at a steady rate, however slowly they are answered. */
export type Crowd = {
  /** Requests begun and not answered yet. */
  inFlight(): number;
  /** Ends the traffic and waits for what is under way. */
  stop(): Promise<void>;
};

export type CrowdOptions = {
  shoppers: readonly Visitor[];
  requestsPerSecond: number;
  onVisit: (visit: Visit) => void;
  random: () => number;
  /** Requests under way at most; beyond this the system is not keeping up, and more would only measure the queue. 500 unless told. */
  mostInFlight?: number;
};

const tickMs = 10;

export const startCrowd = ({
  shoppers,
  requestsPerSecond,
  onVisit,
  random,
  mostInFlight = 500,
}: CrowdOptions): Crowd => {
  const underWay = new Set<Promise<void>>();
  let owed = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    owed += ((now - last) / 1000) * requestsPerSecond;
    last = now;
    for (; owed >= 1; owed -= 1) {
      if (underWay.size >= mostInFlight) continue;
      const shopper = shoppers[Math.floor(random() * shoppers.length)]!;
      const visit = shopper
        .visit()
        .then(onVisit)
        .finally(() => underWay.delete(visit));
      underWay.add(visit);
    }
  }, tickMs);
  return {
    inFlight: () => underWay.size,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
};
