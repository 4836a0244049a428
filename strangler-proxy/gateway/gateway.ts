import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { followFiles } from '@strangler/platform/service-trust/followed-files.ts';
import type { Accepted } from '../accept/accept.ts';
import { GatewayFileError } from './gateway-fault.ts';
import { type GatewayFile, type PolicyConfig, parseGatewayFile } from './gateway-file.ts';
import type { PolicyDeps, PolicyKind } from './kind.ts';
import { kinds } from './kinds.ts';
import { Passage } from './passage.ts';
import type { Policy, Refuse } from './policy.ts';
import { buildChains, type FindChain, pathReading } from './route-chains.ts';

/** What meets a request before anything is decided about it. */
export type Gateway = {
  /** Null where no policy stands on the request's route. */
  enter(accepted: Accepted): Passage | Misread | null;
};

/** A request of which no policy can tell whose it is. */
export type Misread = { kind: 'misread'; policy: 'path'; refusal: Refuse };

export type RunningGateway = Gateway & {
  /** Reads the file again at once; resolves when what it says is in force or refused. */
  reload(): Promise<void>;
  stop(): void;
};

export type GatewayOptions = Omit<PolicyDeps, 'folder'> & {
  file: string;
  /** How often the file is looked at; a second unless told. */
  everyMs?: number;
};

type Standing = { config: string; policy: Policy };
type InForce = { file: GatewayFile; find: FindChain; standing: Map<string, Standing> };

/**
 * Reads the gateway file and follows it: a change is in force within a second, for requests that come then. One that is not good is
 * refused, told in the log and `strangler_gateway_loads_total`, and what was in force stays so. Policies that a
 * change does not touch go on with all that they know.
 * @throws GatewayFileError where the first one is not good.
 */
export const openGateway = async ({ file, everyMs, ...deps }: GatewayOptions): Promise<RunningGateway> => {
  const folder = dirname(resolve(file));
  let current: InForce | null = null;
  const files = await followFiles({
    paths: [file],
    name: 'the gateway file',
    log: deps.log,
    ...(everyMs === undefined ? {} : { everyMs }),
    read: async ([text = '']) => {
      const next = await putInForce(parseGatewayFile(text, file), current?.standing ?? new Map(), file, {
        ...deps,
        folder,
      });
      const before = current;
      current = next;
      for (const [name, { policy }] of before?.standing ?? []) {
        if (next.standing.get(name)?.policy !== policy) policy.close?.();
      }
      return next;
    },
    onOutcome: (outcome) => deps.metrics.loaded('gateway', outcome),
  });

  return {
    enter(accepted) {
      const { file, find } = files.now();
      const { method, path } = accepted.facts;
      const reading = pathReading(path);
      if (reading === 'unreadable' || (reading === 'ambiguous' && file.ambiguousPaths === 'refuse')) {
        deps.metrics.refused('path', 'none', misread.refusal.status);
        return misread;
      }
      const chain = find(method, path);
      return chain === null ? null : new Passage(chain, accepted, deps.metrics);
    },
    reload: files.refresh,
    stop() {
      files.stop();
      for (const { policy } of files.now().standing.values()) policy.close?.();
    },
  };
};

/** @throws GatewayFileError where the file cannot be read or is not good. */
export const checkGatewayFile = (file: string): void => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new GatewayFileError([
      { file, line: 1, path: 'gateway file', message: `cannot be read (${code}); name a YAML file in GATEWAY_FILE` },
    ]);
  }
  parseGatewayFile(text, file);
};

const putInForce = async (
  file: GatewayFile,
  before: ReadonlyMap<string, Standing>,
  path: string,
  deps: PolicyDeps,
): Promise<InForce> => {
  const standing = new Map<string, Standing>();
  const made: Policy[] = [];
  try {
    for (const [name, settings] of Object.entries(file.policies)) {
      const config = JSON.stringify(settings);
      const same = before.get(name);
      if (same?.config === config) {
        standing.set(name, same);
        continue;
      }
      const policy = await make(name, settings, path, deps);
      made.push(policy);
      standing.set(name, { config, policy });
    }
    return { file, find: buildChains(file.routes, (name) => standing.get(name)!.policy), standing };
  } catch (error) {
    for (const policy of made) policy.close?.();
    throw error;
  }
};

const make = async (
  name: string,
  { kind, ...config }: PolicyConfig,
  file: string,
  deps: PolicyDeps,
): Promise<Policy> => {
  // What stands in `config` was read by this very kind's schema.
  const { create } = kinds[kind] as unknown as PolicyKind;
  try {
    return await create(name, config, deps);
  } catch (error) {
    throw new GatewayFileError([{ file, line: 1, path: `policies.${name}`, message: (error as Error).message }]);
  }
};

const misread: Misread = {
  kind: 'misread',
  policy: 'path',
  refusal: {
    kind: 'refuse',
    status: 400,
    title: 'Ambiguous path',
    detail: 'Expected a path without empty or dot segments, backslashes, encoded slashes or broken escapes.',
    headers: {},
  },
};
