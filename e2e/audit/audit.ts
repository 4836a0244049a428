import { readFileSync } from 'node:fs';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { runCommand } from '@strangler/stack/process/run.ts';
import type { Outcome } from '../test/outcome.ts';
import { advisoriesOf, judgeAudit, readExceptions, unneeded } from './judge-audit.ts';

const exceptionsFile = new URL('./exceptions.json', import.meta.url);
const TIMEOUT_MS = 60_000;

/**
 * Asks the registry for known faults of the packages of the lock file, and fails on those that are high or critical and not excepted.
 * Where the registry is away, or has no advisories, nothing was looked at: skipped, with the reason; failed where `AUDIT=required`.
 */
export async function audit(
  signal: AbortSignal,
  { say = console.log, env = process.env, today = new Date().toISOString().slice(0, 10) } = {},
): Promise<Omit<Outcome, 'name' | 'seconds'>> {
  const exceptions = readExceptions(readFileSync(exceptionsFile, 'utf8'));
  const args = ['audit', '--omit=dev', '--audit-level=high', '--json', '--fetch-retries=0', '--fetch-timeout=20000'];
  const command = { file: 'npm', args, cwd: repositoryRoot, env: { NODE_OPTIONS: '' } };
  const { stdout, stderr } = await runCommand(command, { timeoutMs: TIMEOUT_MS, outputLimit: 20_000_000, signal });
  const advisories = advisoriesOf(stdout);
  const { failures, notes } = judgeAudit(advisories ?? [], exceptions, today);
  for (const line of [...failures, ...notes]) say(line);
  if (failures.length > 0) return { passed: 0, failed: failures.length, skipped: 0, note: failures[0] ?? '' };
  if (advisories === undefined) {
    const why = whyNot(stdout, stderr);
    say(`nobody could be asked for known faults: ${why}`);
    const required = env.AUDIT === 'required';
    const note = `the registry has no advisories: ${why}`;
    return required
      ? { passed: 0, failed: 1, skipped: 0, note }
      : { passed: 0, failed: 0, skipped: 1, note, excused: true };
  }
  for (const one of unneeded(advisories, exceptions))
    say(`${one.package}: the exception for ${one.advisory} is for nothing that is found any more: remove it`);
  return { passed: 1, failed: 0, skipped: 0 };
}

function whyNot(stdout: string, stderr: string): string {
  try {
    const { message } = JSON.parse(stdout) as { message?: unknown };
    if (typeof message === 'string' && message !== '') return message.slice(0, 120);
  } catch {
    // It has said it elsewhere.
  }
  const lines = stderr.split('\n').filter((line) => /^npm (error|warn audit)/.test(line));
  return (lines[0] ?? 'npm has said nothing').slice(0, 120);
}
