import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { pipeTopology } from '@strangler/migrations/engine/pipe/apply-consumer.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { createLog } from '@strangler/platform/log.ts';
import { declareTopology, deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { outboxTable, rowsOf } from '@strangler/platform/outbox/schema.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';
import { cpuMicrosOf } from '../proxy/cpu-time.ts';
import { type MemoryReport, watchMemory } from './memory.ts';
import { captureProducts, releaseProducts, slice, table } from './products.ts';
import type { Setting } from './setting.ts';
import { profiled, startWorker, stopChild } from './worker.ts';

const exchange = 'bench.outbox';
/** As many as the relay may have unconfirmed. */
const maxUnconfirmed = 2_000;
const relayMain = fileURLToPath(new URL('../../platform/outbox/relay/main.ts', import.meta.url));

export type RelayRound = {
  relayPerSecond: number;
  rawPerSecond: number;
  relayCpuMicros: CpuMicros;
  rawCpuMicros: CpuMicros;
};

/** Processor time a message, in microseconds; null where the system does not tell. */
export type CpuMicros = { own: number | null; database: number | null; broker: number | null };

export type RelayRace = {
  rounds: RelayRound[];
  bodyBytes: number;
  events: number;
  rowsPerRead: number;
  rowsPerMark: number;
  memory: MemoryReport;
};

/**
 * In turn: the relay process publishes and marks a backlog that one transaction has committed, and a publisher that has its
 * messages in memory publishes as many. Same broker, exchange, queues, sizes and number of unconfirmed messages.
 */
export const raceRelay = async (
  setting: Setting,
  { rounds, rowsPerRound, say }: { rounds: number; rowsPerRound: number; say: (line: string) => void },
): Promise<RelayRace> => {
  const { source, servers, sourceUrl, sourceName, slices } = setting;
  const { rabbitmqUrl } = servers.addresses;
  const found = (await readSliceDirectory(slices)).find((one) => one.slice === slice);
  if (found === undefined) throw new Error(`${slices}: expected the slice ${slice}`);
  const topology = pipeTopology(found, exchange);
  const warmUpRows = Math.min(rowsPerRound, 5_000);
  await captureProducts(source, sourceName, await setting.mapped());
  const rabbit = connect({ url: rabbitmqUrl, log: createLog({ name: 'bench', level: 'error' }) });
  const raw = await startWorker('raw-publisher.ts', rabbitmqUrl, exchange, String(maxUnconfirmed));
  const held = await source.getConnection();
  /** Captured in a transaction that is still to be committed: nobody sees it before. */
  const backlog = async (): Promise<void> => {
    await held.query('START TRANSACTION');
    await held.query(`UPDATE ${table} SET version = version + 1 WHERE id <= ?`, [rowsPerRound]);
  };
  const emptied = async (): Promise<void> => {
    await deleteTopology(rabbit, topology);
    await declareTopology(rabbit, topology);
  };
  // The raw publisher's messages are those of the first backlog.
  await source.query(`UPDATE ${table} SET version = version + 1 WHERE id <= ?`, [warmUpRows]);
  const bodyBytes = await raw.ask<number>({ kind: 'load', databaseUrl: sourceUrl, rows: warmUpRows });
  const port = await freePort();
  const { NODE_OPTIONS: _, ...env } = process.env;
  const relay = spawn(process.execPath, [...profiled('relay'), relayMain], {
    env: {
      ...env,
      PORT: String(port),
      LOG_LEVEL: 'warn',
      DATABASE_URL: sourceUrl,
      RABBITMQ_URL: rabbitmqUrl,
      OUTBOX_EXCHANGE: exchange,
      // What is measured is the work, not the wait before it.
      POLL_IDLE: '20ms',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await declareTopology(rabbit, topology);
    await eventually(async () => (await fetch(`http://127.0.0.1:${port}/health/ready`)).ok, { withinMs: 30_000 });
    // Both have warmed up then.
    await published(setting);
    await raw.ask({ kind: 'publish', count: warmUpRows });
    const memory = watchMemory(relay.pid as number);
    const measured: RelayRound[] = [];
    const { database, broker } = servers.pids;
    const cpu = async (
      pid: number,
      prepare: () => Promise<unknown>,
      work: () => Promise<number>,
    ): Promise<{ perSecond: number; micros: CpuMicros }> => {
      await emptied();
      await prepare();
      const before = [[pid], database, broker].map(cpuOfAll);
      const tookMs = await work();
      const [own = null, ofDatabase = null, ofBroker = null] = [[pid], database, broker].map((pids, index) => {
        const [from, to] = [before[index] ?? null, cpuOfAll(pids)];
        return from === null || to === null ? null : Math.round(((to - from) / rowsPerRound) * 10) / 10;
      });
      return { perSecond: (rowsPerRound * 1000) / tookMs, micros: { own, database: ofDatabase, broker: ofBroker } };
    };
    const ours = () =>
      cpu(relay.pid as number, backlog, async () => {
        const startedAt = performance.now();
        await held.query('COMMIT');
        await published(setting);
        return performance.now() - startedAt;
      });
    const theirs = () =>
      cpu(
        raw.pid,
        async () => {},
        () => raw.ask<number>({ kind: 'publish', count: rowsPerRound }),
      );
    for (let round = 0; round < rounds; round += 1) {
      const first = round % 2 === 0 ? await ours() : await theirs();
      const second = round % 2 === 0 ? await theirs() : await ours();
      const [one, other] = round % 2 === 0 ? [first, second] : [second, first];
      measured.push({
        relayPerSecond: one.perSecond,
        rawPerSecond: other.perSecond,
        relayCpuMicros: one.micros,
        rawCpuMicros: other.micros,
      });
      say(
        `relay, round ${round + 1} of ${rounds}: ${Math.round(one.perSecond)}/s, raw publish ${Math.round(other.perSecond)}/s`,
      );
    }
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const metric = (name: string) => Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm').exec(text)?.[1]);
    const mean = (name: string) => Math.round(metric(`${name}_sum`) / metric(`${name}_count`));
    return {
      rounds: measured,
      bodyBytes: Math.round(bodyBytes),
      events: rounds * rowsPerRound,
      rowsPerRead: mean('relay_read_rows'),
      rowsPerMark: mean('relay_mark_rows'),
      memory: memory.report(),
    };
  } finally {
    held.destroy();
    await stopChild(relay);
    await raw.stop();
    await deleteTopology(rabbit, topology).catch(() => {});
    await rabbit.close();
    await releaseProducts(source, sourceName);
    await source.query(`TRUNCATE TABLE ${outboxTable}`);
  }
};

/**
 * Resolves when nothing is unpublished. The newest row of each part is asked for by its key, which costs the server
 * nothing; only when all of these are marked, all rows are looked at.
 */
const published = async ({ source }: Setting): Promise<void> => {
  const newest = await rowsOf<{ id: number }>(
    source,
    `SELECT MAX(id) AS id FROM ${outboxTable} WHERE published = 0 GROUP BY part`,
  );
  const ids = newest.map(({ id }) => id);
  for (;;) {
    const left =
      ids.length === 0
        ? []
        : await rowsOf(source, `SELECT id FROM ${outboxTable} WHERE id IN (?) AND published = 0 LIMIT 1`, [ids]);
    if (left.length === 0) {
      const [any] = await rowsOf<{ n: number }>(
        source,
        `SELECT COUNT(*) AS n FROM (SELECT 1 FROM ${outboxTable} WHERE published = 0 LIMIT 1) AS one`,
      );
      if (any?.n === 0) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

const cpuOfAll = (pids: readonly number[]): number | null => {
  const each = pids.map(cpuMicrosOf);
  if (each.length === 0 || each.includes(null)) return null;
  return each.reduce<number>((sum, one) => sum + (one ?? 0), 0);
};
