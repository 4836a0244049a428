import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { SoakPipeReport } from './pipe/soak-pipe.ts';

test('every change gets through, once and in order, while relays, appliers and copies die and messages come again', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const words = ['--scenario', 'pipe', '--json', '--faults', '4', '--seed', '1', '--size', '2000', '--writers', '4'];
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    env,
    timeout: 600_000,
    maxBuffer: 10_000_000,
  }).catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`the soak failed:\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as SoakPipeReport;
  expect(report.violations).toEqual([]);
  expect(report).toMatchObject({ ok: true, scenario: 'pipe' });
  expect(report.faults.slice(0, 4)).toEqual([
    'relay 1 killed',
    'applier to target without answers',
    'relay 1 frozen',
    'relay to broker lost',
  ]);
}, 650_000);
