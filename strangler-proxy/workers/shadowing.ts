import { pause } from '@strangler/platform/backoff.ts';
import { type CompareRules, compileRules } from '@strangler/platform/compare/rules.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { ShadowMinute } from '@strangler/platform/contracts/proxy-status.ts';
import type { SliceCompare } from '@strangler/platform/contracts/slice-compare.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { createShadowReport } from '@strangler/platform/shadow-report/report.ts';
import type { Registry } from 'prom-client';
import { createShadowMetrics, exposeReport, exposeShadow } from '../account/shadow-metrics.ts';
import type { ReadCounter } from '../canary/count-reads.ts';
import type { ProxyConfig } from '../config.ts';
import type { Discovery } from '../discovery/discovery.ts';
import { createAgents } from '../forward/upstream-agent.ts';
import { createAskSides } from '../shadow/ask-sides.ts';
import { createByteBudget } from '../shadow/byte-budget.ts';
import { createDryRunAgents } from '../shadow/dry-run-agent.ts';
import { exchangeNoise } from '../shadow/exchange-noise.ts';
import { createLastMinute } from '../shadow/last-minute.ts';
import { createRoleOf } from '../shadow/role.ts';
import type { ShadowAccount } from '../shadow/sample.ts';
import type { KeptHeaders } from '../shadow/service-headers.ts';
import { createShadow, type Shadow } from '../shadow/shadow.ts';
import { createSharedNoise } from '../shadow/shared-noise.ts';
import { measureSpareTime } from '../shadow/spare-time.ts';
import { tellReport } from '../shadow/tell-report.ts';
import { createWritesSeen } from '../shadow/writes-seen.ts';
import { servicePolicy, type UpstreamPolicy } from '../upstream/policy.ts';
import { createUpstreams } from '../upstream/upstreams.ts';

export type ShadowingParts = {
  config: ProxyConfig;
  slices: readonly Slice[];
  flagOf: (slice: string) => FlagDocument | undefined;
  discovery: Discovery;
  reads: Pick<ReadCounter, 'compared'>;
  /** The worker's number within this proxy. */
  number: number;
  registry: Registry;
  log: Log;
  lifecycle: Lifecycle;
  /** By which services know who asks. */
  headersFor: KeptHeaders['headersFor'];
};

/** A worker's part in comparing answers; `shadow` is null where no slice file asks for it. */
export type Shadowing = { shadow: Shadow | null; status(): ShadowMinute[] };

/** Under way at one upstream, asks and dry runs together; each of the two is bounded by itself below that. */
const policyFor = (concurrency: number): UpstreamPolicy => ({
  ...servicePolicy,
  maxConcurrent: 4 * concurrency,
  breaker: { ...servicePolicy.breaker, minimumVolume: 10 },
});

const idleTimeoutMs = 4_000;
const mostResources = 20_000;
/** How much larger an answer may be for being told within the answer to a dry run: base64, with its effects. */
const dryRunGrowth = 2;

export const startShadowing = (parts: ShadowingParts): Shadowing => {
  const { config, flagOf, discovery, reads, number, registry, log, lifecycle, headersFor } = parts;
  const slices = parts.slices.flatMap((slice) =>
    slice.shadow === null ? [] : [{ ...slice, shadow: slice.shadow, rulesOf: rulesByEndpoint(slice.compare) }],
  );
  const metrics = createShadowMetrics(registry);
  if (slices.length === 0) {
    exposeShadow(
      registry,
      () => nothing,
      () => 1,
      () => [],
    );
    return { shadow: null, status: () => [] };
  }
  const { bounds, timeoutMs, memoryBytes, maxBusy } = config.shadow;

  const policy = policyFor(bounds.concurrency);
  const upstreams = createUpstreams({
    monolithOrigins: config.monolithOrigins,
    discovery,
    onEvent: () => {},
    policies: { monolith: policy, service: policy },
  });
  upstreams.follow(slices.map(({ service }) => service));
  const agents = createAgents(
    { maxSockets: 2 * bounds.concurrency, idleTimeoutMs, maxAnswerHeaderBytes: 64 * 1024 },
    () => {},
  );
  const dryRunAgents = createDryRunAgents({
    maxSockets: bounds.concurrency,
    probeTimeoutMs: Math.min(1_000, timeoutMs),
    idleTimeoutMs,
  });
  const sides = createAskSides({
    headersFor,
    concurrency: bounds.concurrency,
    upstreams,
    agents,
    dryRunAgents,
    bounds: { timeoutMs, maxAnswerBytes: bounds.maxAnswerBytes },
    dryRunBounds: { timeoutMs, maxAnswerBytes: dryRunGrowth * bounds.maxAnswerBytes },
  });

  const noise = new Map(slices.map(({ slice }) => [slice, createSharedNoise()]));
  const minute = createLastMinute(slices.map(({ slice }) => slice));
  const spare = measureSpareTime({ maxBusy });
  const redis =
    config.redisUrl === null ? null : createRedis({ url: config.redisUrl, log, commandTimeoutMs: redisTimeoutMs });
  const report = redis === null ? null : createShadowReport({ redis, log });
  const exchange = redis === null ? null : exchangeNoise({ redis, worker: `${config.id}/${number}`, noise });
  void exchange?.exchange();
  const bySlice = new Map(slices.map((one) => [one.slice, one]));
  const tell =
    report === null
      ? () => metrics.notKept()
      : tellReport({
          report,
          rulesOf: (slice, endpoint) => bySlice.get(slice)!.rulesOf(endpoint),
          roleOf: createRoleOf(),
        });

  const account: ShadowAccount = {
    found(finding) {
      const { slice, access, outcome, changeId } = finding;
      metrics.found(slice, access, outcome);
      minute.found(slice, outcome);
      if (access === 'read' && outcome !== 'failed') {
        // What somebody has accepted steps no canary back.
        const accepted = report?.accepts(slice, finding.endpoint, finding.differences) === true;
        reads.compared(slice, changeId, outcome === 'different' && !accepted ? 'different' : 'fine');
      }
      tell(finding);
    },
    dropped(slice, access, reason) {
      metrics.dropped(slice, access, reason);
      minute.dropped(slice, reason);
    },
    asked: metrics.asked,
    spent: metrics.spent,
    defect(error) {
      metrics.defect();
      log.error({ err: error }, 'comparing answers met a defect of the proxy; live requests are not touched');
    },
  };
  const shadow = createShadow({
    slices: slices.map(({ slice, stickyBy, shadow, rulesOf }) => ({
      ...{ slice, stickyBy, shadow, rulesOf },
      noise: noise.get(slice)!,
    })),
    flagOf,
    sides,
    bounds,
    budget: createByteBudget(memoryBytes),
    writesSeen: createWritesSeen({ maxResources: mostResources, nowMs: () => performance.now(), redis }),
    spareShare: spare.share,
    account,
    pause: (ms) => pause(ms),
  });
  exposeShadow(registry, shadow.figures, spare.share, upstreams.status);
  if (report !== null && redis !== null) exposeReport(registry, report.lost, redis.ready);

  lifecycle.onStop('close', 'comparing', async () => {
    shadow.close();
    spare.close();
    agents.close();
    dryRunAgents.close();
    upstreams.close();
    await exchange?.stop();
    await report?.close();
    await redis?.close();
  });
  return { shadow, status: minute.status };
};

const nothing = { open: 0, waiting: 0, asking: 0, rechecks: 0, memoryBytes: 0 };
const redisTimeoutMs = 500;

/** A slice's rules are compiled once a route. */
const rulesByEndpoint = (compare: SliceCompare): ((endpoint: string) => CompareRules) => {
  const known = new Map<string, CompareRules>();
  return (endpoint) => {
    let rules = known.get(endpoint);
    if (rules === undefined) {
      rules = compileRules(compare, endpoint);
      known.set(endpoint, rules);
    }
    return rules;
  };
};
