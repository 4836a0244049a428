import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { InventoryReport } from './scenarios/inventory.ts';

test('the stock goes to its service, back, and there again while buyers quarrel and instances die: all of it adds up', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const words = ['--slice', 'inventory', '--json', '--rate', '30', '--size', '60', '--seconds', '1'];
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    env: { ...env, STACK_INSTANCE: 'test-inventory-slice' },
    timeout: 400_000,
    maxBuffer: 10_000_000,
  }).catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`the demo failed:\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as InventoryReport;
  expect(report.failures).toEqual([]);
  expect(report.bounds.filter((bound) => !bound.ok)).toEqual([]);
  expect(report).toMatchObject({ ok: true, requests: { failed: 0 }, stockBroken: 0, oversold: 0, cutovers: 3 });
}, 450_000);
