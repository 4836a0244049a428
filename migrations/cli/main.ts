#!/usr/bin/env node
import { createLog } from '@strangler/platform/log.ts';
import { runProgram } from './program.ts';
import type { Screen } from './terminal.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

process.exitCode = await runProgram(process.argv.slice(2), {
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => process.stderr.write(`${text}\n`),
  environment: process.env,
  log: createLog({ name: 'strangler', level: process.env.LOG_LEVEL ?? 'silent' }),
  signal: interrupted.signal,
  ...(process.stderr.isTTY ? { screen: process.stderr as Screen } : {}),
});
