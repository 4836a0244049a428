import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { stringify } from 'yaml';
import { type BenchOptions, cpuMedian, measureField, type Round, round } from './bench-proxy.ts';
import { type Contestant, type Field, ours, peer, plain } from './contestants.ts';
import { median, medianRatio } from './ratios.ts';

export type PoliciesReport = {
  table: string;
  json: {
    bench: 'policies';
    redis: boolean;
    /** `ofPlain`: requests a second, as the median over the rounds of its share of the plain proxy's. */
    results: { name: string; requestsPerSecond: number; cpuMicros: number | null; ofPlain: number }[];
    /** Of the proxy with all policies, and with those that every gateway has, to its peers, as `all / fastify`. */
    ratios: Record<string, number>;
  };
};

const baseline = 'plain';
const peers = ['handwritten', 'fastify'] as const;
const everything = 'all';
/** What a front door is seldom without: who it is, and how often. */
const usual = ['jwt', 'rate-limit'] as const;
const usualName = usual.join(' + ');

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

const issuerName = 'https://issuer.example';

/** Makes tokens, and says by which keys they are known. */
const startIssuer = async (): Promise<{ jwksUrl: string; token: string; close(): void }> => {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA');
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' }] });
  const token = await new SignJWT({ role: 'customer' })
    .setProtectedHeader({ alg: 'EdDSA', kid: 'bench' })
    .setIssuer(issuerName)
    .setAudience('shop')
    .setSubject('1042')
    .setIssuedAt()
    .setExpirationTime('12h')
    .sign(privateKey);
  const server = createServer((_req, res) => void res.setHeader('content-type', 'application/json').end(keys));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    token,
    close: () => void server.close(),
  };
};

/** Policies that a request passes on its way to an upstream, each with settings under which it passes. */
const forwardingPolicies = (jwksUrl: string): Record<string, object> => ({
  jwt: { kind: 'jwt', jwksUrl, issuer: issuerName, audience: 'shop', algorithms: ['EdDSA'] },
  'rate-limit': { kind: 'rate-limit', limit: 1_000_000_000, window: '1m', by: ['user', 'address'] },
  concurrency: { kind: 'concurrency', max: 2_000 },
  ip: { kind: 'ip', allow: ['127.0.0.0/8', '10.0.0.0/8'] },
  cors: { kind: 'cors', origins: ['https://shop.example'], expose: ['ETag'] },
  'security-headers': { kind: 'security-headers' },
  size: { kind: 'size', request: '2MiB' },
  maintenance: { kind: 'maintenance', on: false, slices: ['catalog'] },
  versions: { kind: 'versions', by: 'media-type', versions: { v1: {}, v2: {} } },
  compress: { kind: 'compress' },
});

const contestantsOf = async (field: Field, jwksUrl: string, redisUrl: string | null): Promise<Contestant[]> => {
  const policies = forwardingPolicies(jwksUrl);
  const withPolicies = async (name: string, chosen: Record<string, object>): Promise<Contestant> => {
    const file = join(field.folder, `gateway-${name.replaceAll(' ', '')}.yaml`);
    const routes = [{ route: 'GET /api/products/:id', policies: Object.keys(chosen) }];
    await writeFile(file, stringify({ policies: chosen, routes }));
    const contestant = await ours(field, name);
    const redis: Record<string, string> = redisUrl === null ? {} : { REDIS_URL: redisUrl };
    return { ...contestant, environment: { ...contestant.environment, GATEWAY_FILE: file, ...redis } };
  };
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
    await withPolicies(usualName, Object.fromEntries(usual.map((name) => [name, policies[name]!]))),
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
    ofPlain: round(medianRatio(rates(name), rates(baseline))),
  }));
  const ratios = Object.fromEntries(
    [usualName, everything].flatMap((ours) =>
      peers.map((theirs) => [`${ours} / ${theirs}`, round(medianRatio(rates(ours), rates(theirs)))]),
    ),
  );
  const plainMicros = results.find(({ name }) => name === baseline)?.cpuMicros ?? null;
  const rows = results.map(({ name, requestsPerSecond, cpuMicros, ofPlain }) => {
    const more = cpuMicros === null || plainMicros === null ? '' : `${(cpuMicros - plainMicros).toFixed(1)} µs more`;
    const cpu = cpuMicros === null ? '' : `${cpuMicros.toFixed(1)} µs CPU`;
    return `${name.padEnd(18)} ${String(requestsPerSecond).padStart(8)}/s   ${cpu.padStart(14)}   ${more.padStart(14)}   ${ofPlain.toFixed(2)} of plain`;
  });
  const beside = Object.entries(ratios).map(([pair, ratio]) => `${pair} = ${ratio}`);
  const counted = redis ? 'limits counted in Redis' : 'limits counted in the proxy; the cache left out';
  return {
    table: [...rows, `${beside.join(', ')} (${counted})`].join('\n'),
    json: { bench: 'policies', redis, results, ratios },
  };
};
