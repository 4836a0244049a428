import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { CompareReport } from './scenarios/compare.ts';

test('a healthy service passes the gate, planted faults are found with their paths, and a canary that goes wrong steps back by itself', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const words = ['--scenario', 'compare', '--json', '--size', '200'];
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    env: { ...env, STACK_INSTANCE: 'test-compare' },
    timeout: 500_000,
    maxBuffer: 10_000_000,
  }).catch((error: Error & { stdout: string; stderr: string }) => {
    const last = error.stderr.trim().split('\n').at(-1);
    throw new Error(`the demo failed: ${last}\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as CompareReport;
  expect(report.bounds.filter((bound) => !bound.ok)).toEqual([]);
  expect(report).toMatchObject({ ok: true, falseAlarms: 0, servedAfterStepBack: 0 });
  expect(report.caught.map(({ path }) => path)).toEqual([
    expect.stringContaining('price_cents'),
    expect.stringContaining('GET /api/categories $.items[*]'),
    expect.stringContaining('currency'),
  ]);
}, 550_000);
