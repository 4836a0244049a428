import { hostname } from 'node:os';
import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { figuresKeys, type Measured, type SliceFigures } from '@strangler/platform/contracts/slice-figures.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { healthRouter } from '@strangler/platform/http/health.ts';
import { runAsJob } from '@strangler/platform/http/request-context.ts';
import { startHttpServer } from '@strangler/platform/http/server.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { tracing } from '@strangler/platform/tracing/bridge.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import type { Command } from 'commander';
import express from 'express';
import { observedWriters } from '../engine/writers/observed-writers.ts';
import { readCanaryStanding } from './canary-standing.ts';
import { documentInForce } from './document-in-force.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs, wholeNumber } from './option-values.ts';
import {
  type BrokerOptions,
  type OpenPipe,
  openPipe,
  type PipeOptions,
  withBroker,
  withBrokerOptions,
  withPipeOptions,
} from './pipe-options.ts';
import { measuredOf } from './published-figures.ts';
import { judgeSliceComparison } from './shadow-figures.ts';
import { type RedisOptions, withRedisOption } from './shadow-options.ts';
import { reportSlice } from './slice-status.ts';
import { takeOrders } from './take-orders.ts';
import { openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type PublishOptions = StoreOptions &
  PipeOptions &
  BrokerOptions &
  RedisOptions & { every: string; orders?: boolean; port?: string };

/** Runs one command line, as the program does. */
export type RunWords = (words: readonly string[], terminal: Terminal) => Promise<number>;

const writersEveryMs = 10_000;
const newestChanges = 10_000;
const mostWriters = 20;

/** `strangler publish`. */
export const addPublishCommand = (program: Command, terminal: Terminal, run: RunWords): void => {
  withRedisOption(withBrokerOptions(withPipeOptions(withStoreOption(program.command('publish <slice...>')))))
    .description(
      'measure slices again and again until Ctrl-C, and put their gates, lag and dead letters in Consul for the dashboard',
    )
    .option('--every <time>', 'pause between two looks at a slice', '1s')
    .option('--orders', 'also carry out what admins order at the dashboard: advance and rollback')
    .option('--port <port>', 'answer /health/ready on this port of 127.0.0.1')
    .action(async (slices: string[], options: PublishOptions) => {
      const everyMs = timeSpanMs('--every', options.every, 100);
      const port = options.port === undefined ? null : wholeNumber('--port', options.port, 0, 65_535);
      const { store, consul, root, close } = openStore(options, terminal);
      if (consul === null || root === null) {
        close();
        throw new CliError('expected flags in Consul, where figures are put; name it with --flags', exitCodes.usage);
      }
      await startTracing('publisher', terminal.environment);
      const round = createRound(options, terminal, { store, consul, root, everyMs });
      const health = port === null ? null : await answerHealth(port, terminal);
      const orders = options.orders
        ? takeOrders({ consul, root, store, slices, terminal, run })
        : { stop: async () => {} };
      terminal.out(`figures of ${slices.join(', ')} go to ${consul.url}, until Ctrl-C`);
      try {
        await withBroker(options, terminal, async (rabbit) => {
          await Promise.all(slices.map((slice) => round(slice, rabbit)));
        });
      } finally {
        await orders.stop();
        await health?.drain(0);
        close();
        await tracing()?.flush();
      }
    });
};

const answerHealth = async (port: number, { log, signal }: Terminal) => {
  const app = express();
  app.use(healthRouter({ checks: {}, draining: () => signal.aborted }));
  return await startHttpServer({ handler: app, host: '127.0.0.1', port, log, name: 'publish' });
};

type Place = { store: FlagStore; consul: ConsulClient; root: string; everyMs: number };
type Pipes = { forward: OpenPipe; reverse: OpenPipe };

/** Measures one slice until the end. What fails is published too: whoever looks on is to know why there are no figures. */
const createRound =
  (options: PublishOptions, terminal: Terminal, { store, consul, root, everyMs }: Place) =>
  async (slice: string, rabbit: RabbitConnection): Promise<void> => {
    const by = `${hostname()} ${process.pid}`;
    let pipes: Pipes | null = null;
    let writers: { found: Measured['writers']; atMs: number } = { found: null, atMs: Number.NEGATIVE_INFINITY };
    const closePipes = async (): Promise<void> => {
      const open = pipes;
      pipes = null;
      await open?.forward.close();
      await open?.reverse.close();
    };

    const measure = async (): Promise<Measured> => {
      pipes ??= {
        forward: await openPipe(options, terminal, slice),
        reverse: await openPipe(options, terminal, slice, 'reverse'),
      };
      const { forward, reverse } = pipes;
      const document = await documentInForce(store, slice);
      const owner = document.writes.owner === 'held' ? document.writes.from : document.writes.owner;
      const databases = owner === 'service' ? reverse : forward;
      const standing = await readCanaryStanding(consul.kv, root, slice);
      const judge = () => judgeSliceComparison(forward.slice, forward.folder, options, terminal);
      const report = await reportSlice(databases, rabbit, document, standing, judge);
      if (report.pipe === null) writers = { found: null, atMs: Number.NEGATIVE_INFINITY };
      else if (performance.now() - writers.atMs > writersEveryMs) {
        const found = await observedWriters(databases.source.read, { slice, newest: newestChanges });
        writers = { found: found.slice(0, mostWriters), atMs: performance.now() };
      }
      return measuredOf(report, writers.found);
    };

    let said = '';
    while (!terminal.signal.aborted) {
      const figures: SliceFigures = {
        ...{ slice, by, everyMs, at: new Date().toISOString(), measured: null, failure: null },
        takesOrders: options.orders === true,
      };
      try {
        figures.measured = await runAsJob('measure slice', measure);
        figures.at = new Date().toISOString();
      } catch (error) {
        await closePipes().catch(() => {});
        figures.failure = (error as Error).message;
        if (said !== figures.failure) terminal.err(`strangler: ${slice}: ${figures.failure}`);
      }
      said = figures.failure ?? '';
      await consul.kv
        .put(figuresKeys(root).slice(slice), JSON.stringify(figures))
        .catch((error: unknown) => terminal.log.warn({ err: error, slice }, 'figures could not be put in Consul'));
      // What cannot be measured now will not be in a moment.
      await pause(figures.failure === null ? everyMs : 3 * everyMs, terminal.signal);
    }
    await closePipes();
  };
