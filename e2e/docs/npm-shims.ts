import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What npm would run itself, by the words that stand before the program's own. */
type Shortcut = { program: 'npm' | 'npx'; words: string; runs: string };

/**
 * Writes an `npm` and an `npx` into `folder` that are found before npm's own. Each command that they know goes through npm's own the
 * first time, which so is tried as a reader would; from then on they run what that runs, without the half second of processor time that it
 * takes to find it. Everything else goes through npm's own always.
 */
export const writeNpmShims = (folder: string, { repository, path }: { repository: string; path: string }): void => {
  const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const shortcuts: Shortcut[] = [
    { program: 'npx', words: 'strangler', runs: 'strangler' },
    { program: 'npm', words: 'start --silent --', runs: scripts.start! },
  ];
  mkdirSync(folder, { recursive: true });
  for (const { program, words, runs } of shortcuts) {
    const count = words.split(' ').length;
    const tried = join(folder, `${program}-was-tried`);
    const script = [
      '#!/bin/bash',
      `PATH='${path}'`,
      `if [ "\${*:1:${count}}" = '${words}' ]; then`,
      `  if [ -e '${tried}' ]; then`,
      `    shift ${count}`,
      '    PATH="$PWD/node_modules/.bin:$PATH"',
      `    exec ${runs} "$@"`,
      '  fi',
      `  : > '${tried}'`,
      'fi',
      `exec ${program} "$@"`,
      '',
    ];
    writeFileSync(join(folder, program), script.join('\n'), { mode: 0o755 });
  }
};
