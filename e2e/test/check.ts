import { checkPhases } from './phases.ts';
import { runProgram } from './run-program.ts';

const controller = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => controller.abort());

const failed: string[] = [];
for (const phase of checkPhases) {
  if (phase.kind !== 'check' || controller.signal.aborted) continue;
  const options = { env: {}, timeoutMs: 300_000, signal: controller.signal };
  const code = await runProgram(phase.program, phase.args, options).catch((error: Error) => {
    console.error(error.message);
    return null;
  });
  if (code !== 0) failed.push(phase.name);
}
if (failed.length > 0 || controller.signal.aborted) {
  console.error(`npm run check: ${failed.join(', ') || 'interrupted'}: see above`);
  process.exitCode = 1;
} else console.log('types, lint and boundaries are clean');
