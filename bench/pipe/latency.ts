import { randomBytes } from 'node:crypto';
import { startPipe } from '@strangler/migrations/testing/start-pipe.ts';
import { appliedExchange, appliedPattern, parseAppliedMessage } from '@strangler/platform/contracts/applied-message.ts';
import type { WriteReport } from './latency-writer.ts';
import { type MemoryReport, watchMemory } from './memory.ts';
import { fillSql, productsSql, table } from './products.ts';
import type { Setting } from './setting.ts';
import { startWorker } from './worker.ts';

export type LatencyRound = { p50: number; p99: number; commitsPerSecond: number };

export type PipeRun = {
  rounds: LatencyRound[];
  /** What went through in the end, as fast as it could, and the memory of both processes over all of it. */
  bulk: { rows: number; rowsPerSecond: number };
  memory: { relay: MemoryReport; applier: MemoryReport };
};

const tableRows = 50_000;
const commitsPerSecond = 1_000;
/** Rows that may be under way while many go through. */
const mostUnderWay = 50_000;

/**
 * The whole pipe with one relay and one applier process. First a program commits single rows at an even rate; the time of
 * each is from the answer to its commit until its row's announcement, which is made after the commit in the target, is
 * heard here. Then many rows go through.
 */
export const runPipe = async (
  { servers }: Setting,
  {
    rounds,
    secondsPerRound,
    bulkRows,
    say,
  }: { rounds: number; secondsPerRound: number; bulkRows: number; say: (line: string) => void },
): Promise<PipeRun> => {
  process.env.TEST_STACK = JSON.stringify(servers.addresses);
  const rows = [productsSql(table), ...fillSql(tableRows, table)];
  const pipe = await startPipe({
    label: `bench-${randomBytes(2).toString('hex')}`,
    sourceSql: rows,
    targetSql: rows,
    slice: { tables: `  - source: ${table}\n` },
    // The processes' own.
    relayEnv: { LEASE_TTL: '6s', LEASE_RENEW: '1s', LOG_LEVEL: 'warn' },
    relays: 0,
  });
  try {
    await pipe.startRelay({ LOG_LEVEL: 'info' });
    const [relay, applier] = [pipe.relays[0]?.pid(), pipe.appliers[0]?.pid()];
    if (relay === undefined || applier === undefined) throw new Error('expected a relay and an applier, found none');

    let heardChanges = 0;
    let heardAtMs = new Map<string, number>();
    const channel = await pipe.rabbit.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.assertExchange(appliedExchange(pipe.exchange), 'topic', { durable: true });
    await channel.bindQueue(queue, appliedExchange(pipe.exchange), appliedPattern(pipe.slice.slice));
    pipe.onClose(() => channel.close().catch(() => {}));
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return;
        const now = performance.timeOrigin + performance.now();
        const { changes } = parseAppliedMessage(message.content.toString(), message.fields.routingKey);
        heardChanges += changes.length;
        for (const { keyText } of changes) if (!heardAtMs.has(keyText)) heardAtMs.set(keyText, now);
      },
      { noAck: true },
    );
    const until = async (done: () => boolean): Promise<void> => {
      let last = heardChanges;
      for (let quietMs = 0; !done(); quietMs = heardChanges === last ? quietMs + 20 : 0) {
        last = heardChanges;
        if (quietMs > 60_000) throw new Error(`the pipe: expected changes to be announced, found none in a minute`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };

    const writer = await startWorker('latency-writer.ts', pipe.source.url);
    pipe.onClose(() => writer.stop());
    const measured: LatencyRound[] = [];
    const perRound = commitsPerSecond * secondsPerRound;
    /** Each row is written once a round, so that its announcement is that of this write. */
    const round = async (): Promise<LatencyRound> => {
      heardAtMs = new Map();
      const { committedAtMs, tookMs } = await writer.ask<WriteReport>({ commitsPerSecond, commits: perRound });
      await until(() => heardAtMs.size >= perRound);
      const delays = committedAtMs.map((at, index) => (heardAtMs.get(String(index + 1)) ?? Number.NaN) - at);
      delays.sort((one, other) => one - other);
      const at = (share: number) =>
        delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? Number.NaN;
      return { p50: at(0.5), p99: at(0.99), commitsPerSecond: (perRound * 1000) / tookMs };
    };
    // Warms everything up.
    await round();
    const memory = { relay: watchMemory(relay), applier: watchMemory(applier) };
    for (let one = 0; one < rounds; one += 1) {
      const result = await round();
      measured.push(result);
      say(
        `latency, round ${one + 1} of ${rounds}: p50 ${result.p50.toFixed(1)} ms, p99 ${result.p99.toFixed(1)} ms ` +
          `at ${Math.round(result.commitsPerSecond)} commits/s`,
      );
    }

    const before = heardChanges;
    const startedAt = performance.now();
    const step = Math.min(10_000, tableRows);
    for (let sent = 0; sent < bulkRows; sent += step) {
      const from = sent % tableRows;
      await pipe.source.pool.query(`UPDATE ${table} SET version = version + 1 WHERE id > ? AND id <= ?`, [
        from,
        from + Math.min(step, bulkRows - sent),
      ]);
      await until(() => sent - (heardChanges - before) < mostUnderWay);
    }
    await until(() => heardChanges - before >= bulkRows);
    const rowsPerSecond = (bulkRows * 1000) / (performance.now() - startedAt);
    say(`pipe: ${bulkRows} rows captured, relayed and applied, ${Math.round(rowsPerSecond)}/s`);
    return {
      rounds: measured,
      bulk: { rows: bulkRows, rowsPerSecond },
      memory: { relay: memory.relay.report(), applier: memory.applier.report() },
    };
  } finally {
    await pipe.close();
  }
};
