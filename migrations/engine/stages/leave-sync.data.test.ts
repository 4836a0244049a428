import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createFileFlagStore } from '@strangler/platform/flags/file-store.ts';
import { dropOutbox, installOutbox, outboxInstaller } from '@strangler/platform/outbox/schema.ts';
import { pino } from 'pino';
import { drawFences, parts } from '../../applier/parts.fixture.ts';
import { type Pipe, startPipe } from '../../testing/start-pipe.ts';
import { installCapture } from '../capture/install-capture.ts';
import { sendCanary } from '../pipe/canary.ts';
import { rowsOf } from '../schema/queryable.ts';
import { defaultGateBounds } from './gates.ts';
import { leaveSync } from './leave-sync.ts';
import { capturePlans } from './measure.ts';
import type { StageEvent } from './stage-work.ts';

let pipe: Pipe;
beforeAll(async () => {
  pipe = await startPipe({ label: 'leave', ...parts, stage: 'monolith', relays: 0, appliers: 0 });
}, 180_000);
afterAll(() => pipe?.close());

/** All of a database but its rows. */
async function shapeOf(end: 'source' | 'target'): Promise<unknown> {
  const { pool } = pipe[end];
  const named = (kind: string, schema: string, name: string) =>
    rowsOf(pool, `SELECT ${name} AS name FROM information_schema.${kind} WHERE ${schema} = DATABASE() ORDER BY 1`);
  return {
    tables: await named('TABLES', 'TABLE_SCHEMA', 'TABLE_NAME'),
    triggers: await named('TRIGGERS', 'TRIGGER_SCHEMA', 'TRIGGER_NAME'),
    routines: await named('ROUTINES', 'ROUTINE_SCHEMA', 'ROUTINE_NAME'),
  };
}

async function leave(): Promise<StageEvent[]> {
  const told: StageEvent[] = [];
  await leaveSync({
    databases: pipe.open('forward'),
    store: createFileFlagStore(`${pipe.slicesFolder}/none.json`),
    rabbit: pipe.rabbit,
    exchange: pipe.exchange,
    author: { by: 'a test', reason: '' },
    bounds: defaultGateBounds,
    log: pino({ level: 'silent' }),
    signal: new AbortController().signal,
    tell: (event) => told.push(event),
  });
  return told;
}

test('whatever a cut-over has left is taken away: both databases are as they were, and the monolith keeps its rows', async () => {
  await pipe.source.pool.query("INSERT INTO parts VALUES (1, 'c', NULL, 1, 'm', 'x', 's')");
  const before = { source: await shapeOf('source'), target: await shapeOf('target') };
  const rows = await rowsOf(pipe.source.pool, 'SELECT * FROM parts');
  await installOutbox(pipe.source.pool, { installedBy: 'strangler' });
  await pipe.install();
  await drawFences(pipe);
  await pipe.installReverse();
  const slice = pipe.slice.slice;
  const forward = pipe.open('forward');
  await installCapture(forward.source.write, {
    slice,
    database: pipe.source.name,
    epoch: 1,
    plans: capturePlans(slice, await forward.captured()),
  });
  await sendCanary(pipe.source.pool, slice, 'token');
  await sendCanary(pipe.target.pool, slice, 'token');
  expect(await shapeOf('target')).not.toEqual(before.target);
  await leave();
  expect({ source: await shapeOf('source'), target: await shapeOf('target') }).toEqual(before);
  expect(await rowsOf(pipe.source.pool, 'SELECT * FROM parts')).toEqual(rows);
  // What is gone is passed over.
  await leave();
}, 180_000);

test('an outbox that the service has of its own stays', async () => {
  await installOutbox(pipe.target.pool, { installedBy: 'application' });
  await pipe.install();
  await pipe.installReverse();
  await leave();
  expect(await outboxInstaller(pipe.target.pool)).toBe('application');
  await dropOutbox(pipe.target.pool);
}, 180_000);
