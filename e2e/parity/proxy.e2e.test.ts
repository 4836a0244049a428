import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createConsul } from '@strangler/platform/consul/client.ts';
import { operatorTokenHeader, sideHeader, stranglerHeaderPrefix } from '@strangler/platform/contracts/headers.ts';
import { proxyStatusPath, proxyStatusSchema } from '@strangler/platform/contracts/proxy-status.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { type OpenedFlagStore, openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { differences } from './compare.ts';
import { type Answer, headerOf, type RequestSpec, type Side, sideAt } from './exchange.ts';
import { type ParityPair, startParityPair } from './pair.ts';
import { compareSides, runScenario, type Scenario, type Step } from './scenario.ts';
import { categoryWriteScenarios } from './scenarios/category-writes.ts';
import { productWriteScenarios } from './scenarios/product-writes.ts';
import { readScenarios } from './scenarios/reads.ts';
import { PINNED_TIME, type RunningProxyProgram, startProxy } from './start-processes.ts';
import { tokenMaker } from './tokens.ts';

const log = createLog({ name: 'parity', level: 'silent' });
const operatorToken = randomBytes(24).toString('hex');

let pair: ParityPair;
let flags: OpenedFlagStore;
let root: string;
let proxy: RunningProxyProgram;
let monolith: Side;
let throughProxy: Side;

beforeAll(async () => {
  pair = await startParityPair('parity_proxy');
  root = `test/${pair.prefix}`;
  const { host } = new URL(testServers().consulUrl);
  flags = openFlagStore(`consul://${host}/${root}`, { log });
  proxy = await startProxy({
    monolithUrl: pair.monolith.url,
    catalogUrls: [pair.catalog.url],
    flags: `consul://${host}/${root}`,
    operatorToken,
    id: `proxy-${pair.prefix}`,
  });
  monolith = sideAt('monolith', pair.monolith.url);
  throughProxy = sideAt('proxy', proxy.url);
}, 300_000);

afterAll(async () => {
  monolith?.close();
  throughProxy?.close();
  await proxy?.stop();
  flags?.close();
  if (root !== undefined) {
    const consul = createConsul({ url: testServers().consulUrl, log });
    for (const key of (await consul.kv.list(root)).keys()) await consul.kv.delete(key);
    consul.close();
  }
  await pair?.stop();
});

/** Sets the share of users whose reads the catalogue answers, and waits until the proxy obeys. */
async function setPercent(percent: number): Promise<void> {
  const { change } = await changeFlag(
    flags.store,
    'catalog',
    (flag) => ({ ...flag, stage: percent === 0 ? 'monolith' : 'canary', reads: { percent, cohorts: [] } }),
    { by: 'parity', reason: `${percent} %` },
  );
  await eventually(async () => {
    const status = proxyStatusSchema.parse(await (await fetch(`${proxy.adminUrl}${proxyStatusPath}`)).json());
    expect(status.workers.length).toBeGreaterThan(0);
    for (const { flags: obeyed } of status.workers)
      expect(obeyed).toMatchObject([{ slice: 'catalog', changeId: change.id }]);
  });
}

// The proxy keeps users without an account to their side by a cookie of its own.
const ofTheProxy = (name: string) => name.startsWith(stranglerHeaderPrefix) || name === 'set-cookie';

describe.each([0, 50, 100])('at %i percent nobody can tell who answers', (percent) => {
  beforeAll(() => setPercent(percent));

  test('in any scenario that reads', async () => {
    for (const scenario of readScenarios) {
      await compareSides([monolith, throughProxy], scenario, pair.tokens, { ignoreHeader: ofTheProxy });
    }
  });

  test('whichever user asks, and each stays on one side', async () => {
    const issue = tokenMaker(pair.signingKey, new Date(PINNED_TIME));
    const served = new Map<string, number>();
    const paths = ['/api/products/1', '/api/products?limit=3&sort=price', '/api/categories', '/api/products/1/reviews'];
    for (let user = 2; user < 42; user += 1) {
      const authorization = `Bearer ${await issue({ sub: user, role: 'customer' })}`;
      const sides = new Set<string>();
      for (const path of paths) {
        const request: RequestSpec = { path, headers: { authorization, [operatorTokenHeader]: operatorToken } };
        const [plain, proxied] = await Promise.all([monolith.send(request), throughProxy.send(request)]);
        sides.add(headerOf(proxied, sideHeader));
        const found = differences(['monolith', plain], ['proxy', proxied], { ignoreHeader: ofTheProxy });
        expect({ user, path, found }).toEqual({ user, path, found: [] });
      }
      expect(sides.size).toBe(1);
      const [side = ''] = sides;
      served.set(side, (served.get(side) ?? 0) + 1);
    }
    const expected = percent === 0 ? ['monolith'] : percent === 100 ? ['service'] : ['monolith', 'service'];
    expect([...served.keys()].sort()).toEqual(expected);
  });
});

test('writes go to the monolith whatever the share of reads is', async () => {
  for (const percent of [50, 100]) {
    await setPercent(percent);
    for (const scenario of writes) {
      await pair.data.restore();
      const straight = await runScenario(monolith, scenario, pair.tokens);
      await pair.data.restore();
      const proxied = await runScenario(throughProxy, scenario, pair.tokens);
      for (const [at, { request, answer }] of straight.entries()) {
        const other = proxied[at]?.answer as Answer;
        const found = differences(['monolith', answer], ['proxy', other], { ignoreHeader: ofTheProxy });
        expect({ request, found }).toEqual({ request, found: [] });
      }
    }
  }
});

/** Without reads in between: these would be answered by the catalogue, which has not been told of the monolith's writes here. */
const writes: Scenario[] = [...productWriteScenarios, ...categoryWriteScenarios]
  .filter(({ name }) => /used up|replace takes/.test(name))
  .map(({ name, steps }) => ({ name, steps: steps.filter((step) => 'request' in step && !isRead(step.request)) }));

function isRead(request: Extract<Step, { request: unknown }>['request']): boolean {
  return typeof request !== 'function' && (request.method ?? 'GET') === 'GET';
}
