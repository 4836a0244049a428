import { stackSettings } from '../home/settings.ts';
import { downStack } from '../servers.ts';
import { stopSystem } from './system.ts';

const tell = (line: string): void => void process.stderr.write(`${line}\n`);

try {
  const { instance } = stackSettings();
  const ended = await stopSystem(instance);
  if (ended.length > 0) tell(`${ended.join(', ')} ended`);
  await downStack(instance, { log: tell });
  console.log(`instance ${instance} is down; its data is kept (npm run stack -- purge deletes it)`);
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
