import type { StackHome } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import { ensureUnpacked } from '../packages/unpack.ts';
import { fromMachine, fromPackages, type Installation, programFolders } from './installation.ts';

/** nginx from the machine, else from Debian's packages, unpacked under the stack's folder. Rejects where it is not to be had. */
export async function findNginx(home: StackHome, say: (line: string) => void): Promise<Installation> {
  const machine = {
    names: ['nginx'],
    versionArgs: ['-v'],
    version: (output: string) => /nginx\/(\d+\.\d+\.\d+)/.exec(output)?.[1],
  };
  return (
    (await fromMachine(machine, programFolders())) ??
    fromPackages(await ensureUnpacked(packageSets.nginx, { home, say }))
  );
}
