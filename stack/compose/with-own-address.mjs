/**
 * Runs a program in a container: `node stack/compose/with-own-address.mjs monolith/main.ts`.
 *
 * A process registers in Consul the address that it listens on, so in a container it has to listen on the
 * container's own address rather than on 0.0.0.0. Variables whose value is `container` are set to that address.
 */
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const own = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

for (const [name, value] of Object.entries(process.env)) {
  if (value !== 'container') continue;
  if (own === undefined) throw new Error(`${name}=container, but there is no IPv4 address besides the loopback one`);
  process.env[name] = own;
}

const [, , entry, ...args] = process.argv;
if (entry === undefined) throw new Error('expected the program to run, e.g. monolith/main.ts');
const file = resolve(entry);
// The program, and the workers it forks, find themselves where they would be without this file.
process.argv = [process.argv[0] ?? 'node', file, ...args];
await import(pathToFileURL(file).href);
