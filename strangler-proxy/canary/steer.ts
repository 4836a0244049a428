import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import type { KvEntry } from '@strangler/platform/consul/kv.ts';
import type { ConsulSession } from '@strangler/platform/consul/session.ts';
import {
  type CanaryReport,
  type CanaryStanding,
  canaryAuthor,
  canaryKeys,
  parseCanaryReport,
  parseCanaryStanding,
} from '@strangler/platform/contracts/canary.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { CanaryBounds } from '@strangler/platform/contracts/slice-file.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { FlagConflictError, type FlagStore } from '@strangler/platform/flags/store.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type Collector, recentMs } from './collect.ts';
import { type CanaryVerdict, judgeCanary, lookEveryMs } from './judge.ts';
import { quantileMs } from './latency.ts';
import { type Progress, progressFromStanding, progressOfNewDocument } from './progress.ts';
import { addBoth, type BothSides, noneOfBoth, packFigures, unpackFigures } from './side-figures.ts';

/** Told of what steering does; must not throw. */
export type CanaryAccount = {
  publishFailed(slice: string): void;
  stepped(slice: string, direction: 'up' | 'back'): void;
};

export type SteeringOptions = {
  consul: ConsulClient;
  store: FlagStore;
  /** The key under which flags stand in Consul. */
  root: string;
  /** This proxy's id. */
  id: string;
  /** The session by which Consul knows this proxy; null while it does not. */
  session: () => ConsulSession | null;
  collector: Pick<Collector, 'slices' | 'of'>;
  boundsOf: (slice: string) => CanaryBounds | undefined;
  account: CanaryAccount;
  log: Log;
};

/** How a slice's canary is seen from this proxy; `standing` is null until somebody has judged it. */
export type SeenCanary = { slice: string; steers: boolean; standing: CanaryStanding | null };

export type Steering = { seen(): SeenCanary[]; stop(): Promise<void> };

const callTimeoutMs = 2_000;
/** A proxy that steers and is not heard of for so long loses the lock; one that reports nothing new is left out of the sum. */
const silentAfterMs = 5_000;

/** Publishes this proxy's figures of each slice at stage `canary`, and steers those of which it has the lock. */
export const startSteering = (options: SteeringOptions): Steering => {
  const { consul, root, id, session, collector, account, log } = options;
  const keys = canaryKeys(root);
  const stopping = new AbortController();
  const canaries = new Map<string, Canary>();
  let seq = 0;

  async function look(slice: string): Promise<void> {
    const mine = session();
    const collected = collector.of(slice);
    if (collected === null) return;
    let canary = canaries.get(slice);
    if (canary === undefined) {
      canary = new Canary(slice, options);
      canaries.set(slice, canary);
    }
    if (mine === null || !mine.alive()) {
      account.publishFailed(slice);
      canary.unknown();
      return;
    }
    seq += 1;
    const report: CanaryReport = {
      changeId: collected.changeId,
      seq,
      at: new Date().toISOString(),
      windowMs: recentMs,
      recent: packBoth(collected.recent),
      since: packBoth(collected.since),
    };
    const published = await consul.kv
      .put(keys.report(slice, id), JSON.stringify(report), { acquire: mine.id, timeoutMs: callTimeoutMs })
      .catch((error: unknown) => {
        account.publishFailed(slice);
        throw error;
      });
    if (!published) account.publishFailed(slice);
    await canary.look(mine, await consul.kv.list(keys.slice(slice), { timeoutMs: callTimeoutMs }));
  }

  async function lookOn(): Promise<void> {
    let troubled = false;
    while (!stopping.signal.aborted) {
      const startedMs = performance.now();
      const slices = collector.slices();
      for (const slice of [...canaries.keys()].filter((one) => !slices.includes(one))) {
        canaries.delete(slice);
        await forget(slice);
      }
      for (const slice of slices) {
        try {
          await look(slice);
          troubled = false;
        } catch (error) {
          if (!troubled) log.warn({ err: error, slice }, 'canary could not be looked after; trying on');
          troubled = true;
        }
      }
      await pause(Math.max(50, lookEveryMs - (performance.now() - startedMs)), stopping.signal);
    }
  }

  /** Takes out what stands of a slice that has left the stage; what cannot be goes with the session. */
  async function forget(slice: string): Promise<void> {
    try {
      const lock = await consul.kv.get(keys.steering(slice), { timeoutMs: callTimeoutMs });
      await consul.kv.delete(keys.report(slice, id), { timeoutMs: callTimeoutMs });
      if (lock?.session === undefined || lock.session !== session()?.id) return;
      await consul.kv.delete(keys.standing(slice), { timeoutMs: callTimeoutMs });
      await consul.kv.delete(keys.steering(slice), { cas: lock.modifyIndex, timeoutMs: callTimeoutMs });
    } catch (error) {
      log.debug({ err: error, slice }, "a canary's keys are left to the end of the session");
    }
  }

  const looking = lookOn();
  return {
    seen: () => [...canaries.values()].map((canary) => canary.seen()),
    async stop() {
      stopping.abort();
      await looking;
    },
  };
};

/** The canary of one slice, as this proxy sees it. */
class Canary {
  readonly #slice: string;
  readonly #options: SteeringOptions;
  readonly #keys: ReturnType<typeof canaryKeys>;
  #standing: CanaryStanding | null = null;
  #steers = false;
  #progress: Progress | null = null;
  #lookedAtMs = 0;
  #seq = 0;
  /** When something of a proxy was last seen to change, by this process's clock: others' clocks prove nothing. */
  readonly #news = new Map<string, { what: string; atMs: number }>();

  constructor(slice: string, options: SteeringOptions) {
    this.#slice = slice;
    this.#options = options;
    this.#keys = canaryKeys(options.root);
  }

  seen(): SeenCanary {
    return { slice: this.#slice, steers: this.#steers, standing: this.#standing };
  }

  unknown(): void {
    this.#steers = false;
  }

  /** `entries`: all that stands of this slice's canary. */
  async look(mine: ConsulSession, entries: ReadonlyMap<string, KvEntry>): Promise<void> {
    const standing = entries.get(this.#keys.standing(this.#slice));
    this.#standing = standing === undefined ? null : parseCanaryStanding(standing.value);
    const reports = this.#liveReports(entries);
    const had = this.#steers;
    this.#steers = await this.#hasLock(mine, entries.get(this.#keys.steering(this.#slice)));
    if (this.#steers && !had) {
      this.#options.log.info({ slice: this.#slice }, 'steers the canary');
      this.#progress = this.#standing === null ? null : progressFromStanding(this.#standing);
      this.#seq = this.#standing?.seq ?? 0;
      this.#lookedAtMs = performance.now();
    }
    if (this.#steers) await this.#steer(reports);
  }

  /** One proxy at a time. One that does not look after its canary loses the lock; were it to wake up, it finds that out first. */
  async #hasLock(mine: ConsulSession, lock: KvEntry | undefined): Promise<boolean> {
    const { consul, id } = this.#options;
    const key = this.#keys.steering(this.#slice);
    if (lock?.session === mine.id) return true;
    if (lock?.session === undefined) {
      const value = JSON.stringify({ id, at: new Date().toISOString() });
      return await consul.kv.put(key, value, { acquire: mine.id, timeoutMs: callTimeoutMs });
    }
    if (!this.#isNews('lock', `${lock.session} ${this.#standing?.seq}`)) {
      this.#options.log.warn(
        { slice: this.#slice, lock: lock.value },
        'nobody looks after the canary; taking its lock',
      );
      await consul.kv.delete(key, { cas: lock.modifyIndex, timeoutMs: callTimeoutMs });
    }
    return false;
  }

  /** False where the same has been seen for too long. */
  #isNews(whose: string, what: string): boolean {
    const now = performance.now();
    const last = this.#news.get(whose);
    if (last?.what === what) return now - last.atMs <= silentAfterMs;
    this.#news.set(whose, { what, atMs: now });
    return true;
  }

  #liveReports(entries: ReadonlyMap<string, KvEntry>): CanaryReport[] {
    const prefix = this.#keys.reports(this.#slice);
    for (const whose of this.#news.keys()) if (whose !== 'lock' && !entries.has(whose)) this.#news.delete(whose);
    return [...entries].flatMap(([key, { value, session }]) => {
      if (!key.startsWith(prefix)) return [];
      const report = parseCanaryReport(value);
      return report !== null && this.#isNews(key, `${session} ${report.seq}`) ? [report] : [];
    });
  }

  async #steer(reports: readonly CanaryReport[]): Promise<void> {
    const { store, boundsOf, log } = this.#options;
    const document = (await store.get(this.#slice))?.document;
    const bounds = boundsOf(this.#slice);
    if (bounds === undefined || document?.stage !== 'canary' || document.writes.owner !== 'monolith') return;
    const progress = await this.#progressUnder(document);

    const recent = noneOfBoth();
    const since = noneOfBoth();
    const counted = reports.filter(({ changeId }) => changeId === document.change.id);
    for (const report of counted) {
      addBoth(recent, unpackBoth(report.recent));
      addBoth(since, unpackBoth(report.since));
    }
    const verdict = judgeCanary({ recent, since, baseline: progress.baseline }, bounds, progress);
    if (verdict.kind === 'hold') {
      await this.#say(document, bounds, progress, verdict, since, counted.length);
      return;
    }
    const direction = verdict.kind === 'step-up' ? 'up' : 'back';
    const reason = `${direction} from ${progress.percent} % to ${verdict.to} %: ${verdict.why}`;
    try {
      // What it rests on next time, first: once the flag is changed, this process may be gone.
      if (direction === 'up') progress.baseline = since.monolith.requests > 0 ? since.monolith : progress.baseline;
      await this.#say(
        document,
        bounds,
        progress,
        { kind: 'hold', state: 'baking', why: reason, lacks: [] },
        since,
        counted.length,
      );
      const changed = await changeFlag(
        store,
        this.#slice,
        (now) => {
          if (now.change.id !== document.change.id) throw new ChangedMeanwhile(now);
          return { ...now, reads: { ...now.reads, percent: verdict.to } };
        },
        { by: canaryAuthor, reason: reason.slice(0, 1_000) },
      );
      this.#progress = progressOfNewDocument(changed, document, progress, Date.now());
      this.#options.account.stepped(this.#slice, direction);
      log[direction === 'up' ? 'info' : 'warn']({ slice: this.#slice, reason }, `canary stepped ${direction}`);
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile) && !(error instanceof FlagConflictError)) throw error;
      log.info({ slice: this.#slice, why: error.message }, 'canary left alone: its flag was changed in between');
    }
  }

  async #progressUnder(document: FlagDocument): Promise<Progress> {
    const now = performance.now();
    const passedMs = now - this.#lookedAtMs;
    this.#lookedAtMs = now;
    const known = this.#progress;
    if (known?.changeId === document.change.id) {
      // Time in which nobody looked has proved nothing.
      known.bakedMs += Math.min(passedMs, 2 * lookEveryMs);
      return known;
    }
    const [, previous] = await this.#options.store.history(this.#slice, 2);
    this.#progress = progressOfNewDocument(document, previous, known, Date.now());
    return this.#progress;
  }

  async #say(
    { change }: FlagDocument,
    bounds: CanaryBounds,
    progress: Progress,
    verdict: Extract<CanaryVerdict, { kind: 'hold' }>,
    { monolith, service, mismatches }: BothSides,
    proxies: number,
  ): Promise<void> {
    const { consul, id } = this.#options;
    this.#seq += 1;
    const standing: CanaryStanding = {
      slice: this.#slice,
      changeId: change.id,
      percent: progress.percent,
      steps: [...bounds.steps],
      state: verdict.state,
      why: verdict.why,
      lacks: verdict.lacks,
      bakedMs: Math.round(progress.bakedMs),
      bakeMs: bounds.bakeMs,
      bakingSince: new Date(progress.bakingSinceMs).toISOString(),
      good: [...progress.good],
      samples: { monolith: monolith.requests, service: service.requests },
      errors: { monolith: monolith.errors, service: service.errors },
      p99Ms: { monolith: quantileMs(monolith.latency, 0.99), service: quantileMs(service.latency, 0.99) },
      mismatches,
      baseline: progress.baseline === null ? null : packFigures(progress.baseline),
      steering: id,
      proxies,
      seq: this.#seq,
      at: new Date().toISOString(),
    };
    await consul.kv.put(this.#keys.standing(this.#slice), JSON.stringify(standing), { timeoutMs: callTimeoutMs });
    this.#standing = standing;
  }
}

/** Somebody changed the flag after it was judged. */
class ChangedMeanwhile extends Error {
  override name = 'ChangedMeanwhile';
  constructor({ change }: FlagDocument) {
    super(`${change.by} changed it at ${change.at}`);
  }
}

const packBoth = ({ monolith, service, mismatches }: BothSides) => ({
  monolith: packFigures(monolith),
  service: packFigures(service),
  mismatches,
});

const unpackBoth = ({ monolith, service, mismatches }: CanaryReport['recent']): BothSides => ({
  monolith: unpackFigures(monolith),
  service: unpackFigures(service),
  mismatches,
});
