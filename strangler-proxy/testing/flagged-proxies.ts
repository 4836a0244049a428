import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { createConsulFlagStore } from '@strangler/platform/flags/consul-store.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { type ProxyProgram, startProxyProgram } from './proxy-program.ts';

/** Complete proxies before a monolith and a catalogue, with their flags in a corner of Consul that is theirs alone. */
export type FlaggedProxies = {
  /** For files; removed in the end. */
  folder: string;
  consul: ConsulClient;
  /** Of the keys in Consul. */
  root: string;
  store: FlagStore;
  /** For STRANGLER_FLAGS; `host`: that of another way to Consul. */
  flagsAt(host?: string): string;
  start(environment?: Record<string, string>): Promise<ProxyProgram>;
  /** Calls this in the end, before proxies that were started earlier are killed. */
  atEnd(step: () => unknown): void;
  end(): Promise<void>;
};

export type FlaggedProxiesOptions = {
  /** In the names of the folder and of the keys. */
  label: string;
  monolith: RequestListener;
  service: RequestListener;
  /** Slice files by slice; each names the service `catalog`. */
  slices: Record<string, string>;
  /** Of every proxy. */
  environment: Record<string, string>;
};

/** Starts both sides and opens the store; proxies are the test's to start. */
export const openFlaggedProxies = async ({
  label,
  monolith,
  service,
  slices,
  environment,
}: FlaggedProxiesOptions): Promise<FlaggedProxies> => {
  const steps: (() => unknown)[] = [];
  const atEnd: FlaggedProxies['atEnd'] = (step) => void steps.push(step);
  const end = async (): Promise<void> => {
    for (const step of steps.splice(0).reverse()) await step();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), `${label}-`));
    atEnd(() => rm(folder, { recursive: true }));
    for (const [name, text] of Object.entries(slices)) {
      await mkdir(join(folder, 'slices', name), { recursive: true });
      await writeFile(join(folder, 'slices', name, 'slice.yaml'), text);
    }

    const { consulUrl } = testServers();
    const root = `test/${label}-${crypto.randomUUID()}`;
    const consul = createConsul({ url: consulUrl, log: createLog({ name: 'test', level: 'silent' }) });
    atEnd(async () => {
      for (const key of (await consul.kv.list(root)).keys()) await consul.kv.delete(key);
      consul.close();
    });
    const flagsAt = (host = new URL(consulUrl).host) => `consul://${host}/${root}`;

    const urls: string[] = [];
    for (const listener of [monolith, service]) {
      const server = await listen(listener);
      atEnd(() => {
        server.closeAllConnections();
        server.close();
      });
      urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    }
    const [monolithUrl = '', serviceUrl = ''] = urls;
    return {
      ...{ folder, consul, root, flagsAt, atEnd, end },
      store: createConsulFlagStore({ consul, root }),
      async start(more = {}) {
        const program = await startProxyProgram({
          MONOLITH_URL: monolithUrl,
          SERVICES: `catalog=${serviceUrl}`,
          STRANGLER_SLICES: join(folder, 'slices'),
          STRANGLER_FLAGS: flagsAt(),
          ...environment,
          ...more,
        });
        atEnd(() => program.stop('SIGKILL'));
        return program;
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
};

const listen = async (listener: RequestListener): Promise<Server> => {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  return server;
};
