/** Takes the catalogue to a stage, once everything runs that works on it: the last container to run and to end. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bringToStage, operatorVariables, startStages } from '../system/stage.ts';

const wanted = startStages.find((stage) => stage === (process.env.STAGE ?? 'shadow'));
const operator = Object.fromEntries(operatorVariables.map((name) => [name, process.env[name] ?? '']));
const missing = operatorVariables.filter((name) => operator[name] === '');

if (wanted === undefined || missing.length > 0) {
  process.stderr.write(
    missing.length > 0
      ? `stage: not set: ${missing.join(', ')}\n`
      : `stage: expected STAGE to be ${startStages.join(', ')}, found ${JSON.stringify(process.env.STAGE)}\n`,
  );
  process.exitCode = 2;
} else {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  await bringToStage(wanted, {
    operator: operator as Record<(typeof operatorVariables)[number], string>,
    say,
    logFile: join(tmpdir(), 'stage.log'),
  });
}
