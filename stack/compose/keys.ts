/** Makes the keys by which services know each other, in the folder SERVICE_KEYS, for the callers that the command line names. */
import { type CallingService, makeKeys, serviceCalls } from '../system/keys.ts';

const { SERVICE_KEYS: folder } = process.env;
const callers = process.argv.slice(2);
const isCaller = (name: string): name is CallingService => Object.hasOwn(serviceCalls, name);
const known = Object.keys(serviceCalls).join(', ');

if (!folder || !callers.every(isCaller)) {
  process.stderr.write(`keys: SERVICE_KEYS has to be set, and callers to be among ${known}\n`);
  process.exitCode = 2;
} else {
  const { trustFile } = await makeKeys(folder, callers);
  process.stdout.write(`keys of ${callers.join(', ')} are there; ${trustFile} says whom they may call\n`);
}
