#!/usr/bin/env node
import { createInterface } from 'node:readline/promises';
import { createLog } from '@strangler/platform/log.ts';
import { runProgram } from './program.ts';
import type { Screen } from './terminal.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

const ask = async (question: string): Promise<string> => {
  const dialogue = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await dialogue.question(question, { signal: interrupted.signal })).trim();
  } finally {
    dialogue.close();
  }
};

process.exitCode = await runProgram(process.argv.slice(2), {
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => process.stderr.write(`${text}\n`),
  environment: process.env,
  log: createLog({ name: 'strangler', level: process.env.LOG_LEVEL ?? 'silent' }),
  signal: interrupted.signal,
  ...(process.stdin.isTTY ? { ask } : {}),
  ...(process.stderr.isTTY ? { screen: process.stderr as Screen } : {}),
});
