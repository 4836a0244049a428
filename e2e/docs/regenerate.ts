/** Writes anew what is made from code: `node stack/run.mjs e2e/docs/regenerate.ts`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { generatedFiles } from './generated.ts';

// Help is laid out for the terminal's width, and must come out the same in everyone's.
Object.defineProperty(process.stdout, 'columns', { value: 80 });

for (const [path, text] of await generatedFiles()) {
  writeFileSync(join(repositoryRoot, path), text);
  console.log(path);
}
