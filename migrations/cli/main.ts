#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import type { Screen } from './terminal.ts';

// Much of what a short command takes is the stripping and compiling of what the command before has compiled already.
enableCompileCache(fileURLToPath(new URL('../../.stack/compile-cache', import.meta.url)));
const { createLog } = await import('@strangler/platform/log.ts');
const { runProgram } = await import('./program.ts');

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
