import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from 'redis';
import { writeWhole } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import { PROBE_TIMEOUT_MS, type ServerDefinition } from './definition.ts';

const accountsFile = 'users.acl';
const isAnothers = (line: string): boolean => /^user (?!default\b)/.test(line);

export const redisServer: ServerDefinition = {
  title: 'Redis',
  packages: packageSets.redis,
  machine: {
    names: ['redis-server'],
    versionArgs: ['--version'],
    version: (output) => /\bv=(\d+\.\d+\.\d+)/.exec(output)?.[1],
  },
  ports: ['main'],
  stopWithinMs: 10_000,
  async prepare(plan) {
    const data = join(plan.folder, 'data');
    mkdirSync(data, { recursive: true, mode: 0o700 });
    const lines = [
      'bind 127.0.0.1',
      `port ${plan.ports.main}`,
      `dir "${data}"`,
      // Accounts that were made here are there after a restart.
      `aclfile "${join(plan.folder, accountsFile)}"`,
      'daemonize no',
      'set-proc-title no',
      // A cache: what it holds may be lost with it.
      'save ""',
      'appendonly no',
      'maxmemory 256mb',
      'maxmemory-policy noeviction',
      'ignore-warnings ARM64-COW-BUG',
    ];
    writeWhole(join(plan.folder, 'redis.conf'), `${lines.join('\n')}\n`);
    const accounts = join(plan.folder, accountsFile);
    const kept = existsSync(accounts) ? readFileSync(accounts, 'utf8').split('\n').filter(isAnothers) : [];
    writeWhole(accounts, `${[`user default on >${plan.secret} ~* &* +@all`, ...kept].join('\n')}\n`, 0o600);
  },
  commands: ({ installation, folder }) => [
    { role: 'redis-server', command: installation.command(installation.program, [join(folder, 'redis.conf')]) },
  ],
  address: (ports, secret) => ({ url: `redis://:${secret}@127.0.0.1:${ports.main}` }),
  async probe({ url }) {
    const client = createClient({
      url,
      disableOfflineQueue: true,
      socket: { connectTimeout: PROBE_TIMEOUT_MS, reconnectStrategy: false },
    });
    client.on('error', () => {}); // The rejected call says the same.
    // A server that hangs accepts the connection and says nothing more.
    const timer = setTimeout(() => client.destroy(), PROBE_TIMEOUT_MS);
    try {
      await client.connect();
      await client.ping();
    } finally {
      clearTimeout(timer);
      if (client.isOpen) client.destroy();
    }
  },
};
