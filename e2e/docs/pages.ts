import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { type PageStep, readSteps } from './page-steps.ts';

export type Page = { path: string; steps: PageStep[] };

/** The pages in the order in which docs/README.md links them, by their paths in the repository. */
export function pagesInOrder(): Page[] {
  const contents = readFileSync(join(repositoryRoot, 'docs/README.md'), 'utf8');
  const linked = [...contents.matchAll(/\]\(([^)#:]+\.md)\)/g)].map(([, path]) => join('docs', path!));
  return ['README.md', ...new Set(linked)].filter((path) => path !== 'docs/README.md').map(readPage);
}

export function readPage(path: string): Page {
  return { path, steps: readSteps(readFileSync(join(repositoryRoot, path), 'utf8'), path) };
}

/** Every Markdown page of the repository, by its path in it. */
export function allMarkdown(folder = ''): string[] {
  return readdirSync(join(repositoryRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return notOurs.has(entry.name) ? [] : allMarkdown(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

const notOurs = new Set(['node_modules', '.stack', '.git']);
