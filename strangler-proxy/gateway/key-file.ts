import { timingSafeEqual } from 'node:crypto';
import { hashApiKey } from '@strangler/platform/api-keys.ts';
import { readYaml } from '@strangler/platform/contracts/yaml-file.ts';
import { issueMessage } from '@strangler/platform/http/issue-messages.ts';
import { z } from 'zod';
import { GatewayFileError } from './gateway-fault.ts';
import { buildChains, type FindChain } from './route-chains.ts';
import { policyName, routeText } from './route-text.ts';

const keyFileSchema = z
  .strictObject({
    keys: z
      .array(
        z.strictObject({
          name: policyName.describe('Who has the key; in logs, and what rate limits count by.'),
          sha256: z
            .string()
            .regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits, as `strangler gateway key hash` prints them'),
          routes: z
            .array(routeText)
            .min(1)
            .max(200)
            .default(['* /*'])
            .describe('What the key is good for. Default: all.'),
          expires: z.iso.datetime({ offset: true }).optional().describe('From then on it is good for nothing.'),
        }),
      )
      .max(10_000),
  })
  .superRefine(({ keys }, context) => {
    const seen = new Set<string>();
    for (const [at, { sha256 }] of keys.entries()) {
      if (seen.has(sha256))
        context.addIssue({ code: 'custom', path: ['keys', at, 'sha256'], message: 'must stand once' });
      seen.add(sha256);
    }
  });

type Key = { name: string; digest: Buffer; scope: FindChain; expiresAtMs: number };

/** What a key is to a request. */
export type KeyFinding = { kind: 'unknown' } | { kind: 'out-of-scope'; name: string } | { kind: 'good'; name: string };

export type ApiKeys = { find(key: string, method: string, path: string, nowMs: number): KeyFinding };

/** Reads a file of hashed keys. @throws GatewayFileError with all its faults. */
export const parseKeyFile = (text: string, file: string): ApiKeys => {
  const { value, faults } = readYaml(keyFileSchema, text, { file, what: 'key file', error: issueMessage });
  if (value === null) throw new GatewayFileError(faults);
  // By the beginning of the digest, which nobody can choose: the rest is compared in constant time.
  const byStart = new Map<string, Key[]>();
  for (const { name, sha256, routes, expires } of value.keys) {
    const key: Key = {
      name,
      digest: Buffer.from(sha256, 'hex'),
      scope: buildChains(
        routes.map((route) => ({ route, policies: [] })),
        () => ({ name }),
      ),
      expiresAtMs: expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires),
    };
    const start = sha256.slice(0, 8);
    byStart.set(start, [...(byStart.get(start) ?? []), key]);
  }
  return {
    find(text, method, path, nowMs) {
      const digest = hashApiKey(text);
      const key = byStart.get(digest.toString('hex', 0, 4))?.find((one) => timingSafeEqual(one.digest, digest));
      if (key === undefined || nowMs >= key.expiresAtMs) return { kind: 'unknown' };
      return { kind: key.scope(method, path) === null ? 'out-of-scope' : 'good', name: key.name };
    },
  };
};
