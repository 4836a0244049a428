/** Makes the keys by which services know each other, in the folder SERVICE_KEYS, for the callers that the command line names. */
import { type CallingService, makeKeys, serviceCalls } from '../system/keys.ts';

const folder = process.env.SERVICE_KEYS;
if (!folder) throw new Error('SERVICE_KEYS is not set');
const callers = process.argv.slice(2);
const isCaller = (name: string): name is CallingService => Object.hasOwn(serviceCalls, name);
const strange = callers.filter((name) => !isCaller(name));
if (strange.length > 0)
  throw new Error(`expected callers among ${Object.keys(serviceCalls).join(', ')}; found ${strange.join(', ')}`);
const { trustFile } = await makeKeys(folder, callers.filter(isCaller));
console.log(`${trustFile}: keys of ${callers.join(', ')} are there`);
