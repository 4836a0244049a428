import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { AskedProxy } from '@strangler/platform/proxy-status/ask-proxies.ts';

/** Something that requests or operators need, and that is not as it should be. */
export type Trouble = {
  what: 'flags' | 'redis' | 'monolith' | 'service' | 'proxy';
  /** Which one, such as a service's name. */
  name: string;
  level: 'bad' | 'warn';
  /** What is found. */
  text: string;
  /** What the proxies do meanwhile. */
  meanwhile: string;
};

export type TroubleInputs = {
  asked: readonly AskedProxy[];
  store: { location: string; reachable: boolean; why: string | null };
  /** Null where there is no `REDIS_URL`. */
  redisReady: boolean | null;
  slices: readonly { slice: string; service: string; stage: Stage }[];
};

/** The name under which workers tell of the monolith among their upstreams. */
const monolithName = 'monolith';

/**
 * All that is away at the moment, worst first, each with what that means for users. A service counts from the stage on at which something is
 * asked of it.
 */
export const troublesOf = ({ asked, store, redisReady, slices }: TroubleInputs): Trouble[] => {
  const workers = asked.flatMap((one) => ('status' in one ? one.status.workers : []));
  const away = new Map<string, { cannot: number; of: number }>();
  for (const { upstreams } of workers) {
    for (const { name, circuit, instances } of upstreams) {
      const count = away.get(name) ?? { cannot: 0, of: 0 };
      const takes = circuit !== 'open' && instances.some(({ state }) => state === 'healthy' || state === 'probing');
      away.set(name, { cannot: count.cannot + (takes ? 0 : 1), of: count.of + 1 });
    }
  }
  const found = (name: string): string | null => {
    const { cannot, of } = away.get(name) ?? { cannot: 0, of: 0 };
    if (cannot === 0) return null;
    return cannot === of ? 'No worker reaches an instance' : `${cannot} of ${of} workers reach no instance`;
  };

  const troubles: Trouble[] = [];
  const monolith = found(monolithName);
  if (monolith !== null) {
    const meanwhile =
      'What services do not answer is refused (502, 503), or told from the cache where a policy says so.';
    troubles.push({
      what: 'monolith',
      name: monolithName,
      level: 'bad',
      text: `${monolith} of the monolith.`,
      meanwhile,
    });
  }
  for (const { slice, service, stage } of slices) {
    const text = stage === 'monolith' || stage === 'sync' ? null : found(service);
    if (text === null) continue;
    troubles.push({ what: 'service', name: service, text: `${text} of ${service}.`, ...withoutService(slice, stage) });
  }
  for (const one of asked) {
    if ('status' in one) continue;
    const text = `The proxy at ${one.address} does not answer: ${one.failure}.`;
    const meanwhile = 'No cut-over begins before it does, or its session in Consul is over.';
    troubles.push({ what: 'proxy', name: one.address, level: 'warn', text, meanwhile });
  }
  if (!store.reachable) {
    const meanwhile =
      'The last known flags stay in force. Nothing can be flipped, and writes of a slice are held as soon as its flags may be over.';
    const text = `Flags cannot be read at ${store.location}: ${store.why ?? 'no answer'}.`;
    troubles.push({ what: 'flags', name: store.location, level: 'warn', text, meanwhile });
  }
  if (redisReady === false) {
    const meanwhile =
      'Each worker counts rate limits by itself, the response cache is passed by, and what is compared is not kept.';
    troubles.push({ what: 'redis', name: 'redis', level: 'warn', text: 'Redis does not answer.', meanwhile });
  }
  return troubles.sort((one, other) => rank(one) - rank(other));
};

const withoutService = (slice: string, stage: Stage): Pick<Trouble, 'level' | 'meanwhile'> => {
  if (stage === 'shadow') return { level: 'warn', meanwhile: `Nothing is compared; the monolith answers ${slice}.` };
  if (stage === 'canary' || stage === 'reads') {
    return { level: 'warn', meanwhile: `The monolith answers ${slice}: its tables are the true ones still.` };
  }
  return {
    level: 'bad',
    meanwhile: `Reads and writes of ${slice} are refused (503): nobody else has its newest rows.`,
  };
};

const rank = ({ level }: Trouble): number => (level === 'bad' ? 0 : 1);
