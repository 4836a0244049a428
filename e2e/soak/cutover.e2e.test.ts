import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { SoakCutoverReport } from './cutover/soak-cutover.ts';

const soak = async (...words: string[]): Promise<SoakCutoverReport> => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(import.meta.dirname, 'main.ts'), '--scenario', 'cutover', '--json', '--size', '100', ...words],
    { env: { ...env, STACK_INSTANCE: 'test-soak-cutover' }, timeout: 600_000, maxBuffer: 10_000_000 },
  ).catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`the soak failed:\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as SoakCutoverReport;
};

test('writes move there and back while processes die, and every one is where it must be', async () => {
  const report = await soak('--cutovers', '4', '--faults', '2', '--seed', '1', '--rate', '20', '--workers', '1');
  expect(report.violations).toEqual([]);
  expect(report).toMatchObject({
    ok: true,
    scenario: 'cutover',
    cutovers: 4,
    acknowledgedWrites: { missing: 0, doubled: 0 },
    findings: { bothOwners: 0, notLinearisable: 0 },
  });
  expect(report.faults).toHaveLength(2);
}, 650_000);
