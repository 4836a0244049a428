import type { Engine, ServerName } from '../addresses.ts';
import type { StackHome } from '../home/paths.ts';
import type { StackSettings } from '../home/settings.ts';
import { ensureUnpacked } from '../packages/unpack.ts';
import { definitionOf } from '../server/all.ts';
import type { ServerDefinition } from '../server/definition.ts';
import { fromMachine, fromPackages, type Installation, programFolders } from '../source/installation.ts';

export type Found = { definition: ServerDefinition; installation: Installation };

export type FindOptions = {
  home: StackHome;
  settings: StackSettings;
  say: (line: string) => void;
  signal?: AbortSignal | undefined;
  /** Where binaries of the machine are looked for; default: PATH and where daemons usually lie. */
  folders?: readonly string[];
};

/**
 * The program to run for a server: a binary on the machine, else unpacked packages. MariaDB stands in for MySQL
 * where that is not to be had, unless MySQL was asked for by name.
 */
export async function findInstallation(name: ServerName, options: FindOptions): Promise<Found> {
  const { engine } = options.settings;
  try {
    return await find(name, engine.name, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (name !== 'mysql' || engine.name !== 'mysql' || engine.explicit) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const found = await find(name, 'mariadb', options).catch(() => {
      throw error;
    });
    options.say(
      `MariaDB ${found.installation.version} stands in for MySQL, which is not to be had here (${reason.split('\n')[0]})`,
    );
    return found;
  }
}

async function find(
  name: ServerName,
  engine: Engine,
  { home, settings, say, signal, folders }: FindOptions,
): Promise<Found> {
  const definition = definitionOf(name, engine);
  if (settings.sources.includes('machine')) {
    const installation = await fromMachine(definition.machine, folders ?? programFolders());
    if (installation !== undefined) return { definition, installation };
  }
  if (settings.sources.includes('packages')) {
    const unpacked = await ensureUnpacked(definition.packages, { home, say, signal });
    return { definition, installation: fromPackages(unpacked) };
  }
  throw new Error(
    `${definition.title} was found in none of ${settings.sources.join(', ')} (STACK_SOURCES); set STACK_${name.toUpperCase()}_URL to one that runs already`,
  );
}
