import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pause } from '@strangler/platform/backoff.ts';
import { compileRules } from '@strangler/platform/compare/rules.ts';
import { tellEffectsHeader } from '@strangler/platform/contracts/dry-run.ts';
import { initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { createAgents, defaultAgentLimits } from '../forward/upstream-agent.ts';
import { createAskSides } from '../shadow/ask-sides.ts';
import { createByteBudget } from '../shadow/byte-budget.ts';
import { createDryRunAgents } from '../shadow/dry-run-agent.ts';
import { createShadow, type Shadow } from '../shadow/shadow.ts';
import { createSharedNoise } from '../shadow/shared-noise.ts';
import { createWritesSeen } from '../shadow/writes-seen.ts';
import { listedInstances, type StartProxy, startTransparentProxy } from './start-transparent-proxy.ts';

/**
 * The proxy of `startTransparentProxy`, which compares every request with a service that answers each with something else: what
 * the client and the live upstream see must be what they would see without it.
 */
export const startShadowedProxy: StartProxy = async (wishes) => {
  const candidate = createServer((req, res) => {
    req.resume();
    res.end(Buffer.alloc(512, 'x'));
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => candidate.once('listening', listening));
  const origin = `http://127.0.0.1:${(candidate.address() as AddressInfo).port}`;
  const agents = createAgents(defaultAgentLimits, () => {});
  const dryRunAgents = createDryRunAgents({ maxSockets: 16, probeTimeoutMs: 1_000, idleTimeoutMs: 4_000 });
  const bounds = { timeoutMs: 1_000, maxAnswerBytes: 256 * 1024 };
  const change = { id: 'c1', by: 'test', at: '2026-01-01T00:00:00.000Z', reason: '' };
  const shadow = createShadow({
    slices: [
      {
        slice: 'catalog',
        stickyBy: [],
        shadow: { sample: 1, calibrate: 0, writes: 'dry-run', routes: {} },
        rulesOf: () => compileRules(defaultCompare),
        noise: createSharedNoise(),
      },
    ],
    flagOf: () => ({ ...initialFlagDocument('catalog', change), stage: 'shadow' }),
    sides: createAskSides({
      upstreams: listedInstances([origin], [origin], []),
      ...{ agents, dryRunAgents, bounds, dryRunBounds: bounds, concurrency: 16 },
    }),
    bounds: {
      ...{ maxRequestBytes: 64 * 1024, maxAnswerBytes: 256 * 1024, maxOpen: 1_024, maxWaiting: 256, maxWaitMs: 1_000 },
      ...{ concurrency: 16, maxRechecks: 128 },
    },
    budget: createByteBudget(32 * 1024 * 1024),
    writesSeen: createWritesSeen({ maxResources: 1_000, nowMs: () => performance.now(), redis: null }),
    spareShare: () => 1,
    account: {
      found() {},
      dropped() {},
      asked() {},
      spent() {},
      defect(error) {
        throw error;
      },
    },
    pause: (ms) => pause(ms),
  });
  const everything: Pick<Shadow, 'watch'> = {
    watch(accepted, decision) {
      const watched = shadow.watch(accepted, { ...decision, slice: 'catalog', service: 'catalog', route: '/*' });
      // All that the live upstream sees of it; the suite looks at every header.
      delete accepted.outgoing.headers[tellEffectsHeader];
      return watched;
    },
  };
  const proxy = await startTransparentProxy({ ...wishes, shadow: everything });
  return {
    port: proxy.port,
    async close() {
      await proxy.close();
      shadow.close();
      agents.close();
      dryRunAgents.close();
      candidate.closeAllConnections();
      await new Promise((closed) => candidate.close(closed));
    },
  };
};
