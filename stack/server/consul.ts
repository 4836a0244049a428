import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import { PROBE_TIMEOUT_MS, type ServerDefinition } from './definition.ts';

export const consulServer: ServerDefinition = {
  title: 'Consul',
  packages: packageSets.consul,
  machine: {
    names: ['consul'],
    versionArgs: ['version'],
    version: (output) => /Consul v(\d+\.\d+\.\d+)/.exec(output)?.[1],
  },
  ports: ['main', 'rpc', 'serf'],
  stopWithinMs: 10_000,
  async prepare(plan) {
    const data = join(plan.folder, 'data');
    mkdirSync(data, { recursive: true, mode: 0o700 });
    const { ports } = plan;
    const configuration = {
      server: true,
      bootstrap: true,
      node_name: `stack-${plan.instance}`,
      data_dir: data,
      bind_addr: '127.0.0.1',
      advertise_addr: '127.0.0.1',
      client_addr: '127.0.0.1',
      ports: { http: ports.main, server: ports.rpc, serf_lan: ports.serf, serf_wan: -1, dns: -1, https: -1, grpc: -1 },
      // The fastest election; the default is made for slow networks.
      performance: { raft_multiplier: 1 },
      // Every watch is a connection, and all of them come from one address here; the default is 200.
      limits: { http_max_conns_per_client: 4_000 },
      leave_on_terminate: false,
      disable_update_check: true,
      log_level: 'INFO',
    };
    writeWhole(join(plan.folder, 'consul.json'), `${JSON.stringify(configuration, undefined, 2)}\n`);
  },
  commands: ({ installation, folder }) => [
    {
      role: 'consul',
      command: installation.command(installation.program, ['agent', `-config-file=${join(folder, 'consul.json')}`]),
    },
  ],
  address: (ports) => ({ url: `http://127.0.0.1:${ports.main}` }),
  async probe({ url }) {
    const ask = async (method: string, path: string, body?: string): Promise<string> => {
      const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
      const response = await fetch(new URL(path, url), { method, signal, ...(body === undefined ? {} : { body }) });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 200)}`);
      return text;
    };
    const leader = await ask('GET', '/v1/status/leader');
    if (leader.trim() === '""') throw new Error('no leader has been elected yet');
    const key = `/v1/kv/stack/probe-${process.pid}-${Date.now()}`;
    await ask('PUT', key, 'here');
    const value = await ask('GET', `${key}?raw`);
    await ask('DELETE', key);
    if (value !== 'here') throw new Error(`a key that was just written reads as ${JSON.stringify(value)}`);
  },
};
