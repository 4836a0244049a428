import { resolve } from 'node:path';
import { followFiles } from '@strangler/platform/service-trust/followed-files.ts';
import { z } from 'zod';
import { parseKeyFile } from '../key-file.ts';
import { policyKind } from '../kind.ts';
import { type Policy, pass, type Refuse } from '../policy.ts';

const schema = z
  .strictObject({
    file: z
      .string()
      .min(1)
      .describe(
        'YAML file of hashed keys, from the folder of the gateway file: `keys: [ { name, sha256, routes, expires } ]`. Followed: a key that ' +
          'is taken out is good for nothing within a second.',
      ),
    header: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a header in lower case, such as x-api-key')
      .default('x-api-key')
      .describe('The header that a key comes in. Default: x-api-key.'),
    mode: z
      .enum(['required', 'optional'])
      .default('required')
      .describe('`optional`: a request without key passes; one with a bad key never does. Default: required.'),
    forward: z.boolean().default(false).describe('Whether the server behind the proxy sees the key. Default: false.'),
  })
  .describe('Asks for an API key, 401; one that is not for this route, 403. Its name is the `key` for what follows.');

const refuse = (status: number, title: string, detail: string, headers: Refuse['headers']): Refuse => ({
  kind: 'refuse',
  status,
  title,
  detail,
  headers,
});

const challenge = { 'WWW-Authenticate': 'ApiKey realm="api"' };
const refusals = {
  missing: (header: string) =>
    refuse(401, 'Unauthorized', `Expected an API key in the header ${header}, found none.`, challenge),
  unknown: refuse(401, 'Unauthorized', 'The API key is not known.', challenge),
  outOfScope: refuse(403, 'Forbidden', 'The API key is not for this route.', {}),
};

/** Keys for programs: 128 random bits or more, of which only the hash is kept. */
export const apiKeys = policyKind({
  schema,
  async create(name, { file, header, mode, forward }, { folder, log, metrics }): Promise<Policy> {
    const path = resolve(folder, file);
    const keys = await followFiles({
      paths: [path],
      name: `the API keys of policy ${name}`,
      read: ([text = '']) => parseKeyFile(text, path),
      log,
      onOutcome: (outcome) => metrics.loaded('keys', outcome),
    });
    const missing = refusals.missing(header);
    const withhold = forward ? [] : [header];
    return {
      name,
      check({ facts: { headers, method, path } }) {
        const key = headers[header];
        if (key === undefined) return mode === 'optional' ? pass : missing;
        if (typeof key !== 'string') return refusals.unknown;
        const found = keys.now().find(key, method, path, Date.now());
        if (found.kind === 'unknown') return refusals.unknown;
        if (found.kind === 'out-of-scope') return refusals.outOfScope;
        return { kind: 'pass', identity: { key: found.name }, withhold };
      },
      close: keys.stop,
    };
  },
});
