import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { PipeReport } from './scenarios/pipe.ts';

test('copies the catalogue and keeps it in step under traffic while relay, applier and broker die: nothing is lost', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const words = ['--scenario', 'pipe', '--json', '--rate', '25', '--size', '60', '--seconds', '1'];
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    env: { ...env, STACK_INSTANCE: 'test-pipe' },
    timeout: 240_000,
    maxBuffer: 10_000_000,
  }).catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`the demo failed:\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as PipeReport;
  expect(report.bounds.filter((bound) => !bound.ok)).toEqual([]);
  const { captured } = report.events;
  expect(report).toMatchObject({
    ok: true,
    requests: { failed: 0 },
    rows: { different: 0 },
    events: { applied: captured, deadLettered: 0 },
    backfill: { rows: expect.any(Number) },
  });
  expect(captured).toBeGreaterThan(0);
  expect(report.killed.map(({ name }) => name)).toEqual([
    'relay-1 killed',
    'applier-catalog-1 killed',
    'rabbitmq killed',
  ]);
}, 300_000);
