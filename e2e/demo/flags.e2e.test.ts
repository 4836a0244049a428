import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { FlagsReport } from './scenarios/flags.ts';

test('flips under traffic while service instances die: nobody notices, and the report says so', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      join(import.meta.dirname, 'main.ts'),
      '--scenario',
      'flags',
      '--json',
      '--rate',
      '40',
      '--size',
      '100',
      '--seconds',
      '1',
    ],
    { env: { ...env, STACK_INSTANCE: 'test-demo' }, timeout: 240_000, maxBuffer: 10_000_000 },
  ).catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`the demo failed:\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as FlagsReport;
  expect(report.bounds.filter((bound) => !bound.ok)).toEqual([]);
  expect(report).toMatchObject({
    ok: true,
    stickyMoved: 0,
    killed: ['catalog-1', 'catalog-2'],
    requests: { failed: 0 },
  });
  expect(report.servedBy.monolith).toBeGreaterThan(0);
  expect(report.servedBy.service).toBeGreaterThan(0);
  expect(report.requests.total).toBe(report.requests.reads + report.requests.writes);
}, 300_000);
