import { readYaml } from '@strangler/platform/contracts/yaml-file.ts';
import { issueMessage } from '@strangler/platform/http/issue-messages.ts';
import { z } from 'zod';
import { GatewayFileError } from './gateway-fault.ts';
import { type KindName, kinds } from './kinds.ts';
import { policyName, routeText } from './route-text.ts';

const policySchemas = Object.entries(kinds).map(([kind, { schema }]) =>
  z.strictObject({ kind: z.literal(kind), ...schema.shape }).describe(schema.description ?? kind),
);

const policy = z.discriminatedUnion('kind', policySchemas as unknown as [z.ZodObject<{ kind: z.ZodLiteral<string> }>], {
  error: (issue) =>
    issue.code === 'invalid_union' ? `must be a policy of a kind: ${Object.keys(kinds).join(', ')}` : undefined,
});

export const gatewayFileSchema = z
  .strictObject({
    ambiguousPaths: z
      .enum(['refuse', 'pass'])
      .default('refuse')
      .describe(
        'What becomes of a request whose path two servers may read in two ways (`//`, `/../`, `%2F`, `%5C`…), so that a policy might ' +
          'look at another route than the server behind: `refuse` it, 400, or `pass` it on. Default: refuse.',
      ),
    policies: z
      .record(policyName, policy)
      .default({})
      .describe('Policies by names of your own; the names stand in metrics and logs.'),
    routes: z
      .array(
        z.strictObject({
          route: routeText,
          policies: z
            .array(policyName)
            .max(32)
            .describe('Names of policies, in the order in which a request meets them. An empty list: none.'),
        }),
      )
      .max(500)
      .default([])
      .describe(
        'Which policies stand on which route. The most specific path wins, then the method over `*`, and its list is the whole ' +
          'list. GET is HEAD too, unless HEAD is named. A request that matches none meets no policy.',
      ),
  })
  .superRefine(({ policies, routes }, context) => {
    const seen = new Set<string>();
    for (const [at, { route, policies: named }] of routes.entries()) {
      const identity = routeIdentity(route);
      if (seen.has(identity)) {
        context.addIssue({
          code: 'custom',
          path: ['routes', at, 'route'],
          message: `must stand in the file once, found ${route} again`,
        });
      }
      seen.add(identity);
      for (const [index, name] of named.entries()) {
        if (Object.hasOwn(policies, name)) continue;
        context.addIssue({
          code: 'custom',
          path: ['routes', at, 'policies', index],
          message: `must be the name of a policy of this file, found "${name}"; there are: ${Object.keys(policies).join(', ') || 'none'}`,
        });
      }
    }
  })
  .describe('What the proxy asks of requests before it forwards them, and what it does to answers.');

/** One policy of the file, with what may be left out filled in. */
export type PolicyConfig = { kind: KindName } & Record<string, unknown>;

export type GatewayRoute = { route: string; policies: string[] };

/** What a gateway file says. */
export type GatewayFile = {
  ambiguousPaths: 'refuse' | 'pass';
  policies: Record<string, PolicyConfig>;
  routes: GatewayRoute[];
};

/** Reads a gateway file from its YAML text. @throws GatewayFileError with all its faults. */
export const parseGatewayFile = (text: string, file: string): GatewayFile => {
  const { value, faults } = readYaml(gatewayFileSchema, text, { file, what: 'gateway file', error: issueMessage });
  if (value === null) throw new GatewayFileError(faults);
  return value as GatewayFile;
};

/** The JSON Schema of each kind of policy, without `kind`. */
export const policyKindSchemas = (): Record<string, object> =>
  Object.fromEntries(
    Object.entries(kinds).map(([kind, { schema }]) => [kind, z.toJSONSchema(schema, { io: 'input' })]),
  );

/** The JSON Schema of a gateway file, for editors. */
export const gatewayFileJsonSchema = (): object => ({
  title: 'gateway.yaml',
  ...z.toJSONSchema(gatewayFileSchema, { io: 'input' }),
});

/** The same for two routes that match the same requests. */
const routeIdentity = (route: string): string =>
  route
    .replaceAll(/:[^/]+/g, ':')
    .toLowerCase()
    .replace(/(.)\/$/, '$1');
