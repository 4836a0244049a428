import { type BenchOptions, cpuLeast, cpuMedian, cpuText, measureField, type Round, round } from './bench-proxy.ts';
import { type Contestant, type Field, ours, peer, plain } from './contestants.ts';
import { forwardingPolicies, oursWithPolicies, startIssuer } from './policies.ts';
import { median, medianRatio } from './ratios.ts';

export type PoliciesReport = {
  table: string;
  json: {
    bench: 'policies';
    redis: boolean;
    /**
     * `cpuMicros`: processor time a request, in the median round and in the one in which it was least; null where the system does not tell.
     * `ofPlain`: requests a second, as the median over the rounds of its share of the plain proxy's.
     */
    results: {
      name: string;
      requestsPerSecond: number;
      cpuMicros: number | null;
      leastCpuMicros: number | null;
      ofPlain: number;
    }[];
    /** Of the proxy with all policies to its peers. */
    ratios: Record<string, number>;
  };
};

const baseline = 'plain';
const peers = ['handwritten', 'fastify'] as const;
const everything = 'all';

/**
 * Measures the proxy with nothing on, with flags and discovery, with each policy by itself beside these, and with all of them, in turn, beside
 * its peers, which do none of it. `redisUrl`: where rate limits are counted and answers kept; without, limits are counted in the proxy and
 * the cache is left out.
 */
export const benchPolicies = async (options: BenchOptions & { redisUrl: string | null }): Promise<PoliciesReport> => {
  const issuer = await startIssuer();
  try {
    const measured = await measureField(options, {
      folderName: 'bench-policies-',
      headers: { Authorization: `Bearer ${issuer.token}`, Origin: 'https://shop.example' },
      contestants: (field) => contestantsOf(field, issuer.jwksUrl, options.redisUrl),
      direct: false,
    });
    return report(measured, options.redisUrl !== null);
  } finally {
    issuer.close();
  }
};

const contestantsOf = async (field: Field, jwksUrl: string, redisUrl: string | null): Promise<Contestant[]> => {
  const policies = forwardingPolicies(jwksUrl);
  const withPolicies = (name: string, chosen: Record<string, object>) =>
    oursWithPolicies(field, name, chosen, redisUrl);
  const alone = await Promise.all(
    Object.entries(policies).map(([name, policy]) => withPolicies(name, { [name]: policy })),
  );
  const kept = { kind: 'cache', fresh: '1h', authorized: true };
  return [
    plain(field, baseline),
    await ours(field, 'flags'),
    ...alone,
    // Answers of this upstream say nothing of being for everybody: the cache is asked, and passes them by.
    ...(redisUrl === null ? [] : [await withPolicies('cache', { cache: kept })]),
    await withPolicies(everything, policies),
    ...peers.map((name) => peer(name, field)),
  ];
};

const report = (measured: ReadonlyMap<string, Round[]>, redis: boolean): PoliciesReport => {
  const rates = (name: string): number[] => measured.get(name)!.map((one) => one.requestsPerSecond);
  const results = [...measured].map(([name, all]) => ({
    name,
    requestsPerSecond: Math.round(median(rates(name))),
    cpuMicros: cpuMedian(all),
    leastCpuMicros: cpuLeast(all),
    ofPlain: round(medianRatio(rates(name), rates(baseline))),
  }));
  const ratios = Object.fromEntries(peers.map((name) => [name, round(medianRatio(rates(everything), rates(name)))]));
  const plainMicros = results.find(({ name }) => name === baseline)?.leastCpuMicros ?? null;
  const rows = results.map(({ name, requestsPerSecond, cpuMicros, leastCpuMicros, ofPlain }) => {
    const more =
      leastCpuMicros === null || plainMicros === null ? '' : `${(leastCpuMicros - plainMicros).toFixed(1)} µs more`;
    const cpu = cpuMicros === null ? '' : cpuText(cpuMicros, leastCpuMicros);
    return `${name.padEnd(18)} ${String(requestsPerSecond).padStart(8)}/s   ${cpu.padStart(32)}   ${more.padStart(14)}   ${ofPlain.toFixed(2)} of plain`;
  });
  const beside = Object.entries(ratios).map(([name, ratio]) => `${everything} / ${name} = ${ratio}`);
  const counted = redis ? 'limits counted in Redis' : 'limits counted in the proxy; the cache left out';
  return {
    table: [...rows, `${beside.join(', ')} (${counted})`].join('\n'),
    json: { bench: 'policies', redis, results, ratios },
  };
};
