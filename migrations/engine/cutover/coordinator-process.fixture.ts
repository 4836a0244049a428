import { createInterface } from 'node:readline';
import { type CutoverPlace, openWork } from './open-work.fixture.ts';
import { type CutoverOptions, runCutover } from './run-cutover.ts';

// A process of its own, to be killed: the first line says where, the second what to do and at which point to die.
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const place = JSON.parse((await lines.next()).value ?? '') as CutoverPlace;
const { work, close } = openWork(place);
await work.store.get(place.slice.slice);
const next = await lines.next();
if (!next.done) {
  const { options, killAt } = JSON.parse(next.value) as { options: CutoverOptions; killAt: string | null };
  const reached = async (point: string): Promise<void> => {
    if (point !== killAt) return;
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  };
  try {
    const { pauseMs } = await runCutover({ ...work, reached }, options);
    process.stdout.write(`done ${pauseMs}\n`);
  } catch (error) {
    process.stdout.write(`${(error as Error).name}: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
await close();
process.exit();
