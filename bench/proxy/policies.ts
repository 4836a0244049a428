import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { stringify } from 'yaml';
import { type Contestant, type Field, ours } from './contestants.ts';

const issuerName = 'https://issuer.example';

/** Makes tokens, and says by which keys they are known. */
export const startIssuer = async (): Promise<{ jwksUrl: string; token: string; close(): void }> => {
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
export const forwardingPolicies = (jwksUrl: string): Record<string, object> => ({
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

/** Ours with policies on the route that everybody is asked for. `redisUrl`: where limits are counted and answers kept; null: in the proxy, and nowhere. */
export const oursWithPolicies = async (
  field: Field,
  name: string,
  chosen: Record<string, object>,
  redisUrl: string | null,
): Promise<Contestant> => {
  const file = join(field.folder, `gateway-${name}.yaml`);
  const routes = [{ route: 'GET /api/products/:id', policies: Object.keys(chosen) }];
  await writeFile(file, stringify({ policies: chosen, routes }));
  const contestant = await ours(field, name);
  const redis: Record<string, string> = redisUrl === null ? {} : { REDIS_URL: redisUrl };
  return { ...contestant, environment: { ...contestant.environment, GATEWAY_FILE: file, ...redis } };
};
