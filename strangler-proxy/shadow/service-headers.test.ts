import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { dryRunProbePath } from '@strangler/platform/contracts/dry-run.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { createAgents, defaultAgentLimits } from '../forward/upstream-agent.ts';
import { listedInstances } from '../testing/start-transparent-proxy.ts';
import { createAskSides } from './ask-sides.ts';
import { createDryRunAgents } from './dry-run-agent.ts';
import { keepHeaders } from './service-headers.ts';

test('dry runs and copies of reads show the service who asks, with a token that is kept fresh; the monolith is shown none', async () => {
  const seen: [path: string, token: string | string[] | undefined][] = [];
  const server = createServer((request, response) => {
    request.resume();
    if (request.url !== dryRunProbePath) seen.push([request.url ?? '', request.headers['x-service-token']]);
    const body = JSON.stringify({ dryRun: true });
    response.setHeader('content-length', Buffer.byteLength(body)).end(body);
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let made = 0;
  const headersFor = async (service: string) => {
    made += 1;
    if (made === 2) throw new Error('not this time');
    return { 'x-service-token': `${service} ${made}` };
  };
  const log = createLog({ name: 'test', level: 'silent' });
  const kept = keepHeaders({ services: ['catalog'], trust: { headersFor }, lifeMs: 120, log });
  const agents = createAgents(defaultAgentLimits, () => {});
  const dryRunAgents = createDryRunAgents({ maxSockets: 4, probeTimeoutMs: 10_000, idleTimeoutMs: 4_000 });
  const bounds = { timeoutMs: 10_000, maxAnswerBytes: 1_024 };
  const sides = createAskSides({
    upstreams: listedInstances([origin], [origin], []),
    ...{ agents, dryRunAgents, bounds, dryRunBounds: bounds, concurrency: 4, headersFor: kept.headersFor },
  });
  const request = (target: string) => ({ method: 'GET', target, headers: { Host: 'shop.test' }, body: null });
  const dryRun = async (target: string) => {
    const asked = sides.startDryRun('catalog', request(target));
    if ('kind' in asked) throw new Error(asked.why);
    return (await asked.answer).kind;
  };
  try {
    await eventually(() => kept.headersFor('catalog')['x-service-token'] === 'catalog 1');
    expect(await dryRun('/first')).toBe('answered');
    await eventually(() => made > 3);
    expect(await dryRun('/later')).toBe('answered');
    await sides.ask('service', 'catalog', request('/copy'));
    await sides.ask('monolith', 'catalog', request('/monolith'));
    expect(seen).toEqual([
      ['/first', expect.stringMatching(/^catalog \d+$/)],
      ['/later', expect.stringMatching(/^catalog \d+$/)],
      ['/copy', expect.stringMatching(/^catalog \d+$/)],
      ['/monolith', undefined],
    ]);
    const [first, later] = seen.map(([, token]) => Number(String(token).split(' ')[1]));
    expect(later).toBeGreaterThan(first ?? 0);
    expect(kept.headersFor('payments')).toEqual({});
  } finally {
    kept.stop();
    agents.close();
    dryRunAgents.close();
    server.closeAllConnections();
    server.close();
  }
});
