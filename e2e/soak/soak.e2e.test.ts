import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { SoakReport } from './soak-flags.ts';

test('no request fails while instances, Redis and Consul die or freeze and reads are flipped about', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(import.meta.dirname, 'main.ts'), '--json', '--faults', '4', '--seed', '2', '--rate', '20', '--size', '100'],
    { env: { ...env, STACK_INSTANCE: 'test-soak' }, timeout: 600_000, maxBuffer: 10_000_000 },
  ).catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`the soak failed:\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as SoakReport;
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ ok: true, requests: { failed: 0 } });
  expect(report.faults).toEqual([
    'catalog-1 killed and catalog-2 killed',
    'redis frozen',
    'redis killed',
    'consul frozen',
  ]);
}, 650_000);
