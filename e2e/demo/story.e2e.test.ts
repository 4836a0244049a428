import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import type { StoryReport } from './scenarios/story.ts';

test('a slice goes to its service, back, forward and to its end under traffic while one of each kind dies: nothing is lost', async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const words = ['--json', '--rate', '20', '--size', '60', '--seconds', '1'];
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    env: { ...env, STACK_INSTANCE: 'test-story' },
    timeout: 900_000,
    maxBuffer: 10_000_000,
  }).catch((error: Error & { stdout: string; stderr: string }) => {
    const last = error.stderr.trim().split('\n').at(-1);
    throw new Error(`the demo failed: ${last}\n${error.stdout}\n${error.stderr}`, { cause: error });
  });
  const report = JSON.parse(stdout.trim().split('\n').at(-1)!) as StoryReport;
  expect(report.violations).toEqual([]);
  expect(report.bounds.filter((bound) => !bound.ok)).toEqual([]);
  expect(report).toMatchObject({
    ok: true,
    requests: { failed: 0 },
    acknowledgedWrites: { missing: 0, doubled: 0 },
    bothOwners: 0,
    rows: { different: 0 },
  });
  expect(report.killed).toEqual([
    'relay-1 killed',
    'applier-catalog-1 killed',
    'proxy-1 killed',
    'catalog-1 killed',
    'the coordinator killed',
    'rabbitmq killed',
  ]);
}, 950_000);
